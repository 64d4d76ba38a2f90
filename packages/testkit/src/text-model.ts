// A text with get, put and append as a sequential model: the key-value store of many published histories. Appends make
// it the strictest of the models, since every value tells of all writes before it, and the slowest to search by strings:
// so the states are nodes that are made once per text, equal where they are the same object.

import { hashString } from './hash.ts';
import { type HistoryOperation, illegal, type SequentialModel } from './linearizability.ts';

export type TextInput =
  | { readonly kind: 'get' }
  | { readonly kind: 'put'; readonly value: string }
  | { readonly kind: 'append'; readonly value: string };

/** Of a get the text; of the others nothing that matters. */
export type TextOutput = string | true;

export type TextOperation = HistoryOperation<TextInput, TextOutput>;

/** One text, and what it became with something appended. Two nodes of one model never hold the same text. */
export class TextNode {
  readonly text: string;
  readonly hash: number;
  readonly longer: Map<string, TextNode> = new Map();

  constructor(text: string) {
    this.text = text;
    this.hash = hashString(text);
  }
}

/** `initial` is what every key holds before the history begins. The nodes live as long as the model. */
export function textModel(initial = ''): SequentialModel<TextNode, TextInput, TextOutput> {
  const nodes = new Map<string, TextNode>();
  const nodeOf = (text: string): TextNode => {
    let node = nodes.get(text);
    if (node === undefined) {
      node = new TextNode(text);
      nodes.set(text, node);
    }
    return node;
  };
  return {
    initial: () => nodeOf(initial),
    step(state, input, output) {
      if (input.kind === 'get') {
        return output === undefined || output === state.text ? state : illegal;
      }
      if (input.kind === 'put') return nodeOf(input.value);
      let next = state.longer.get(input.value);
      if (next === undefined) {
        next = nodeOf(state.text + input.value);
        state.longer.set(input.value, next);
      }
      return next;
    },
    hash: (state) => state.hash,
    equal: (a, b) => a === b,
    inputKey: (input) => (input.kind === 'get' ? 'get' : `${input.kind} ${input.value}`),
    dispensable,
  };
}

/** What changes nothing, and what nobody saw: a text without a trace of it was read before it, or after a later put. */
function dispensable(operations: readonly TextOperation[]): (operation: TextOperation) => boolean {
  const texts = operations.flatMap(({ input, returned }) =>
    input.kind === 'get' && returned !== null ? [String(returned.output)] : [],
  );
  return ({ input }) => input.kind === 'get' || !texts.some((text) => text.includes(input.value));
}
