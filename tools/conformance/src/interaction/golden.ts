// What the expected output of one command says, as facts: the state that each node showed and the messages that it sent.
// Log text of the reference (INFO, DEBUG, WARN, ERROR) is dropped, but for the one line that tells of a configuration, and
// so is all that belongs to its threads.

import { DataError } from '../data-error.ts';

/** What one Ready of a node showed; only what is there is said. */
export interface ShownFacts {
  readonly node: number;
  lead?: number;
  role?: string;
  term?: number;
  vote?: number;
  commit?: number;
  entries?: readonly string[];
  applied?: number;
  snapshotIndex?: number;
}

export interface GoldenMessage {
  readonly from: number;
  readonly to: number;
  /** MsgApp, MsgVoteResp, ... */
  readonly type: string;
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly commit: number;
  readonly isRejected: boolean;
  /** `1/12 EntryNormal "a"`; of a MsgSnap what it carries. */
  readonly entries: readonly string[];
}

export interface Golden {
  /** By node, the configuration that it switched to last. */
  readonly configurations: ReadonlyMap<number, string>;
  readonly shown: readonly ShownFacts[];
  readonly sent: readonly GoldenMessage[];
}

const header =
  /^> (\d+) (handling Ready|receiving messages|processing append thread|processing apply thread)$/;
const message =
  /^(\d+)->(\d+) (Msg\w+) Term:(\d+) Log:(\d+)\/(\d+)( Rejected \(Hint: \d+\))?(?: Commit:(\d+))?(?: Vote:\d+)?(?: Entries:\[(.*)\])?$/;

/** `only` is the node of a command for one node, whose output has no header. Throws DataError. */
export function readGolden(
  file: string,
  line: number,
  output: readonly string[],
  only: number | null,
): Golden {
  const shown: ShownFacts[] = [];
  const sent: GoldenMessage[] = [];
  const configurations = new Map<number, string>();
  let node = only ?? 0;
  let isReady = false;
  let section = '';
  let facts: ShownFacts | null = null;
  const fail = (text: string): DataError =>
    new DataError(file, line, `output that is not understood: ${JSON.stringify(text)}`);
  for (const whole of output) {
    const text = whole.replace(/^ {2}/, '');
    const [, id, what] = header.exec(whole) ?? [];
    if (id !== undefined) {
      node = Number(id);
      isReady = what === 'handling Ready';
      section = '';
      continue;
    }
    const [, switched, to] = /^INFO (\d+) switched to configuration (.+)$/.exec(text) ?? [];
    if (to !== undefined) configurations.set(Number(switched), to);
    if (/^\s*(?:INFO|DEBUG|WARN|ERROR) |^ok$|^<empty Ready>$/.test(text)) continue;
    if (text.startsWith('Ready MustSync=')) {
      isReady = true;
      facts = { node };
      shown.push(facts);
      section = '';
      continue;
    }
    if (!isReady || facts === null) continue;
    if (section === 'open') {
      // A message with several entries has a line for each.
      if (text.trim() === ']') section = 'Messages:';
      else addEntry(sent, text.trim(), fail);
      continue;
    }
    const [, lead, role] = /^Lead:(\d+) State:State(\w+)$/.exec(text) ?? [];
    const [, term, vote, commit] =
      /^HardState Term:(\d+)(?: Vote:(\d+))? Commit:(\d+)$/.exec(text) ?? [];
    const [, snapshotIndex] = /^Snapshot Index:(\d+) /.exec(text) ?? [];
    if (lead !== undefined && role !== undefined) {
      facts.lead = Number(lead);
      facts.role = role;
    } else if (term !== undefined) {
      facts.term = Number(term);
      facts.vote = Number(vote ?? 0);
      facts.commit = Number(commit);
    } else if (snapshotIndex !== undefined) facts.snapshotIndex = Number(snapshotIndex);
    else if (/^(?:Entries|CommittedEntries|Messages|ReadStates.*):$/.test(text)) section = text;
    else if (/^\d+\/\d+ Entry/.test(text)) noteEntry(facts, section, text);
    else if (text.endsWith(' Entries:[')) {
      noteMessage(sent, text.replace(/ Entries:\[$/, ''), fail);
      section = 'open';
    } else if (/^\s*(?:\w+->\w+ |Snapshot: |\])/.test(text)) noteMessage(sent, text, fail);
    else throw fail(whole);
  }
  return { configurations, shown, sent };
}

function noteEntry(facts: ShownFacts, section: string, text: string): void {
  if (section === 'Entries:') facts.entries = [...(facts.entries ?? []), text];
  else facts.applied = Number(/^\d+\/(\d+)/.exec(text)?.[1]);
}

function addEntry(sent: GoldenMessage[], text: string, fail: (text: string) => DataError): void {
  const last = sent.at(-1);
  if (last === undefined || !/^\d+\/\d+ Entry/.test(text)) throw fail(text);
  sent[sent.length - 1] = { ...last, entries: [...last.entries, text] };
}

function noteMessage(sent: GoldenMessage[], text: string, fail: (text: string) => DataError): void {
  const last = sent.at(-1);
  const [, carried] = /^\s+Snapshot: (.*)$/.exec(text) ?? [];
  if (carried !== undefined && last?.type === 'MsgSnap') {
    sent[sent.length - 1] = { ...last, entries: [carried] };
    return;
  }
  // Words between a node and its own storage, and the answers that wait in them.
  if (/(?:Append|Apply)Thread/.test(text) || /^\s+\d+->|^\s*\]$/.test(text)) return;
  const match = message.exec(text);
  if (match === null) throw fail(text);
  const [, from, to, type = '', term, logTerm, index, rejected, commit, entries] = match;
  sent.push({
    from: Number(from),
    to: Number(to),
    type,
    term: Number(term),
    logTerm: Number(logTerm),
    index: Number(index),
    commit: Number(commit ?? 0),
    isRejected: rejected !== undefined,
    entries: entries === undefined ? [] : entries.split(/, (?=\d+\/\d+ Entry)/),
  });
}
