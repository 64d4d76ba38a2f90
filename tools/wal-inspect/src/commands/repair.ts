// repair: builds a new directory from a damaged one. What is given up is listed before and after; nothing is given up
// without --accept-data-loss.

import { realpathSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { FlotillaError } from '@flotilla/io';
import { type RepairOutcome, type RepairRequest, repairDirectory } from '@flotilla/wal';
import { exitCodes } from '../exit-codes.ts';
import { type RepairPlan, UsageError } from '../options.ts';
import type { Job } from '../run.ts';

export async function repair(job: Job): Promise<number> {
  const { out, options, disk, world } = job;
  const { directory, out: target } = options;
  if (target === null)
    throw new UsageError('repair needs --out NEW, a directory that is not there');
  if (options.repair === null) {
    throw new UsageError(
      'repair needs one of --fix-bitflip, --drop-after, --drop-group, --rebuild-store',
    );
  }
  if (isInside(target, directory)) {
    throw new UsageError(
      `${target} lies in ${directory}, which is not changed: name another place`,
    );
  }
  const request = requestOf(options.repair);
  if (request.kind !== 'fix-bitflip' && !options.acceptDataLoss) {
    throw new UsageError(`--${request.kind} gives data up: say --accept-data-loss as well`);
  }
  let outcome: RepairOutcome;
  try {
    outcome = await new Promise<RepairOutcome>((resolve, reject) => {
      const repairWorld = { disk, rng: world.rng, clock: world.clock };
      repairDirectory(repairWorld, directory, target, request, (error, found) =>
        error === null ? resolve(found) : reject(error),
      );
    });
  } catch (error) {
    if (!(error instanceof FlotillaError)) throw error;
    const code = error.code === 'WAL_LOCKED' ? exitCodes.locked : exitCodes.io;
    if (options.json)
      out.line(
        JSON.stringify({ kind: 'failed', exit: code, code: error.code, message: error.message }),
      );
    else out.error(`wal-inspect: ${error.message}`);
    return code;
  }
  const code = outcome.kind === 'repaired' ? exitCodes.clean : exitCodes.corrupt;
  if (options.json) {
    out.line(JSON.stringify({ ...outcome, exit: code }));
    return code;
  }
  switch (outcome.kind) {
    case 'repaired': {
      for (const line of outcome.done) out.line(`done     ${line}`);
      for (const line of outcome.lost) out.line(`lost     ${line}`);
      const identity = outcome.keepsInstance
        ? 'kept: nothing was lost, the host may go on as the member it was'
        : 'new: the other hosts refuse it as the old member; take it out of its groups and add it again';
      out.line(`instance ${outcome.instance} (${identity})`);
      out.line(`built    ${target} up to batch ${outcome.lastSeq}; ${directory} is as it was`);
      return code;
    }
    case 'unfit':
      out.error(`wal-inspect: nothing was built: ${outcome.why}`);
      return code;
    case 'refused': {
      const { reason, file, summary } = outcome.refusal;
      out.error(
        `wal-inspect: not enough: the repaired log would be refused with ${reason} in ${file}: ${summary}; ` +
          `${target} was left without a STORE`,
      );
      return code;
    }
  }
}

/** Whether the path leads to the directory or into it, whatever the links on the way. */
function isInside(path: string, directory: string): boolean {
  const realOf = (each: string): string => {
    try {
      return realpathSync(each);
    } catch {
      return join(realOf(dirname(resolve(each))), basename(each));
    }
  };
  const within = relative(realOf(directory), realOf(path));
  return within === '' || (within !== '..' && !within.startsWith(`..${sep}`));
}

function requestOf(plan: RepairPlan): RepairRequest {
  switch (plan.kind) {
    case 'fix-bitflip':
    case 'drop-after':
      return { kind: plan.kind, ...plan.place };
    case 'drop-group':
      return { kind: plan.kind, groupId: plan.group };
    case 'rebuild-store':
      return { kind: plan.kind };
  }
}
