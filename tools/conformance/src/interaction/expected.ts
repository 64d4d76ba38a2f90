// The state of every node as a transcript tells it, folded from what each Ready showed (level G2). A field is known only
// once the transcript has said it; what happens while its output is switched off makes everything unknown again. Known
// fields are compared with what our replica showed in its own last Ready.

import { configurationText } from '../configuration-text.ts';
import type { ShownFacts } from './golden.ts';
import type { Replica } from './replica.ts';
import type { Terms } from './terms.ts';

const roleNames = {
  follower: 'Follower',
  preCandidate: 'PreCandidate',
  candidate: 'Candidate',
  leader: 'Leader',
};

export function roleName(role: keyof typeof roleNames): string {
  return roleNames[role];
}

class ExpectedNode {
  term: number | null = null;
  vote: number | null = null;
  commit: number | null = null;
  role: string | null = null;
  lead: number | null = null;
  applied: number | null = null;
  lastIndex: number | null = null;
  configuration: string | null = null;
  readonly entries: Map<number, string> = new Map();
  /** Term and vote, role and leader, in the order in which this command showed them; null = not known. */
  ballots: (string | null)[] = [];
  roles: (string | null)[] = [];
  isLeadForgotten = false;

  forget(): void {
    this.term = null;
    this.vote = null;
    this.commit = null;
    this.role = null;
    this.lead = null;
    this.applied = null;
    this.lastIndex = null;
    this.configuration = null;
    this.entries.clear();
  }
}

export class Expected {
  readonly #nodes: Map<number, ExpectedNode> = new Map();
  readonly #terms: Terms;
  /** Fields that were compared. */
  compared = 0;

  constructor(terms: Terms) {
    this.#terms = terms;
  }

  /** A node that begins at `index`: nobody leads, nothing but that is known to it. */
  begin(id: number, index: number): void {
    const node = this.#node(id);
    node.term = 0;
    node.vote = 0;
    node.commit = index;
    node.applied = index;
    node.lastIndex = index;
    node.role = 'Follower';
    node.lead = 0;
  }

  /** The transcript does not tell what happens now. */
  forget(): void {
    for (const node of this.#nodes.values()) node.forget();
  }

  /** Something was done to this node's leader that our replicas do not offer. */
  forgetLead(id: number): void {
    const node = this.#node(id);
    node.lead = null;
    node.isLeadForgotten = true;
  }

  /** A new command begins: what is said of it is a sequence of its own. */
  beginCommand(): void {
    for (const node of this.#nodes.values()) {
      if (node.lead !== null && node.lead !== 0) node.isLeadForgotten = false;
      node.ballots = [node.term === null ? null : `${node.term}/${node.vote}`];
      node.roles = [node.role === null ? null : `${node.role}/${node.lead}`];
    }
  }

  foldConfiguration(id: number, text: string): void {
    this.#node(id).configuration = text;
  }

  fold(facts: ShownFacts): void {
    const node = this.#node(facts.node);
    node.term = facts.term ?? node.term;
    node.vote = facts.vote ?? node.vote;
    node.commit = facts.commit ?? node.commit;
    node.role = facts.role ?? node.role;
    node.lead = facts.lead ?? node.lead;
    if (facts.snapshotIndex !== undefined) {
      node.entries.clear();
      node.lastIndex = facts.snapshotIndex;
      node.applied = facts.snapshotIndex;
    }
    for (const text of facts.entries ?? []) {
      const index = Number(/^\d+\/(\d+)/.exec(text)?.[1]);
      for (const known of [...node.entries.keys()]) if (known >= index) node.entries.delete(known);
      node.entries.set(index, text);
      node.lastIndex = index;
    }
    node.applied = facts.applied ?? node.applied;
    if (facts.term !== undefined) node.ballots.push(`${node.term}/${node.vote}`);
    if (facts.role !== undefined) node.roles.push(`${node.role}/${node.lead}`);
  }

  /**
   * What differs, one line each. Before everything has settled, our commit and applied indexes may be behind: they travel
   * with the next append or heartbeat.
   */
  compare(replica: Replica, isSettled: boolean): string[] {
    const node = this.#nodes.get(replica.id);
    if (node === undefined) return [];
    const { shown } = replica;
    const differences: string[] = [];
    const check = (what: string, expected: number | string | null, got: number | string): void => {
      if (expected === null) return;
      this.compared++;
      if (expected !== got)
        differences.push(`${replica.id}: ${what} ${expected} is right, not ${got}`);
    };
    const checkLag = (what: string, expected: number | null, got: number): void => {
      if (isSettled || expected === null || got > expected) check(what, expected, got);
    };
    const { ballots, roles } = replica;
    const toGolden = (ballot: string): string => {
      const [term, vote] = ballot.split('/');
      return `${this.#terms.toGolden(Number(term))}/${vote}`;
    };
    // The way, not only the end: every term, vote, role and leader between. What stood before is no news.
    if (node.term !== null) {
      const ways = waysOf(node.ballots, ballots.map(toGolden));
      check('terms and votes', ways.expected, ways.got);
    }
    if (node.lead !== null && !node.isLeadForgotten) {
      const ways = waysOf(node.roles, roles.map(roleText));
      check('roles and leaders', ways.expected, ways.got);
    }
    check('term', node.term, this.#terms.toGolden(shown.term));
    check('vote', node.vote, shown.vote);
    check('state', node.role, roleName(shown.role));
    check('lead', node.lead, shown.lead);
    checkLag('commit', node.commit, shown.commit);
    checkLag('applied', node.applied, shown.applied);
    check('last index', node.lastIndex, replica.lastShown);
    // Ours counts from its append, the reference's from its application: they are the same when everything has settled.
    if (isSettled) {
      check('configuration', node.configuration, configurationText(replica.core.configuration));
    }
    for (const [index, text] of node.entries) {
      const entry = replica.entries.find((each) => each.index === index);
      // What was compacted, or came in a snapshot, is in no log any more.
      if (entry === undefined && index < replica.core.firstIndex) continue;
      const got =
        entry === undefined
          ? 'nothing'
          : `${this.#terms.ofEntry(index, entry.term)}/${index} ${entry.text}`;
      check('entry', text, got);
    }
    return differences;
  }

  #node(id: number): ExpectedNode {
    let node = this.#nodes.get(id);
    if (node === undefined) {
      node = new ExpectedNode();
      this.#nodes.set(id, node);
    }
    return node;
  }
}

function roleText(text: string): string {
  const [role, lead] = text.split('/');
  return `${roleName(role as keyof typeof roleNames)}/${lead}`;
}

interface Ways {
  readonly expected: string;
  readonly got: string;
}

/** What stood before ours did is taken for what stood before theirs, where the transcript has not told of that. */
function waysOf([before, ...steps]: readonly (string | null)[], ours: readonly string[]): Ways {
  const first = before ?? ours[0] ?? '';
  return { expected: wayOf([first, ...(steps as string[])]), got: wayOf(ours) };
}

/** The changes: without the first, which stood before, and without repetitions. */
function wayOf([before, ...steps]: readonly string[]): string {
  const isNews = (step: string, at: number): boolean =>
    step !== (at === 0 ? before : steps[at - 1]);
  return steps.filter(isNews).join(' -> ') || 'no change';
}
