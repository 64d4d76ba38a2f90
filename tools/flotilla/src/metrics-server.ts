// A host's counters over HTTP, as text that monitoring systems collect: `GET /metrics`. It only reads, and listens where
// cluster.json says; nothing else is served.

import { createServer } from 'node:http';
import { type Host, metricDeclarations } from '@flotilla/host';
import { FlotillaError, parseAddress } from '@flotilla/io';
import type { KvNode } from '@flotilla/kv';

export interface MetricsServer {
  readonly address: string;
  close(): Promise<void>;
}

const requestMs = 5_000;
const connectionsMax = 64;

/** Rejects with IO_REFUSED. */
export function serveMetrics(listen: string, host: Host, kv: KvNode): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: requestMs, headersTimeout: requestMs });
  server.maxConnections = connectionsMax;
  server.on('request', (request, response) => {
    const isKnown = request.method === 'GET' && request.url === '/metrics';
    response.writeHead(isKnown ? 200 : 404, { 'content-type': 'text/plain; version=0.0.4' });
    response.end(isKnown ? metricsText(host, kv) : 'only GET /metrics is here\n');
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const message = `cannot listen on ${listen} for metrics: ${error.message}`;
      reject(new FlotillaError('IO_REFUSED', message, { code: error.code }, error));
    });
    server.listen(parseAddress(listen), () => {
      resolve({
        address: listen,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}

function metricsText(host: Host, kv: KvNode): string {
  const values = host.metrics();
  let text = '';
  for (const { name, kind, says } of metricDeclarations) {
    const full = `flotilla_${snakeCase(name)}`;
    text += `# HELP ${full} ${says}\n# TYPE ${full} ${kind}\n${full} ${values[name] ?? 0}\n`;
  }
  for (const [name, value] of Object.entries(kv.counters())) {
    const [counter = '', errorKind] = name.split('.');
    const label = errorKind === undefined ? '' : `{kind="${errorKind.replace(/\W/g, '_')}"}`;
    const full = `flotilla_kv_${snakeCase(counter)}${label}`;
    text += `${full} ${value}\n`;
  }
  return text;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
