// A directed graph whose edges have kinds, and the search for cycles that use only some of the kinds. Everything is
// iterative and linear in the edges: a history may have a hundred thousand transactions, and a deep one must not run out
// of stack.

export interface Edge {
  readonly to: number;
  /** One bit. */
  readonly kind: number;
}

export class Graph {
  readonly size: number;
  readonly #edges: Edge[][];

  constructor(size: number) {
    this.size = size;
    this.#edges = Array.from({ length: size }, () => []);
  }

  add(from: number, to: number, kind: number): void {
    if (from !== to) (this.#edges[from] as Edge[]).push({ to, kind });
  }

  edgesOf(node: number): readonly Edge[] {
    return this.#edges[node] as Edge[];
  }

  /** The strongly connected components of more than one node along edges of these kinds (Tarjan). */
  components(kinds: number): number[][] {
    const { size } = this;
    const order = new Int32Array(size).fill(-1);
    const low = new Int32Array(size);
    const isOpen = new Uint8Array(size);
    const stack: number[] = [];
    const found: number[][] = [];
    let visited = 0;
    for (let root = 0; root < size; root++) {
      if (order[root] !== -1) continue;
      const path: { node: number; next: number }[] = [{ node: root, next: 0 }];
      while (path.length > 0) {
        const top = path[path.length - 1] as { node: number; next: number };
        const { node } = top;
        if (top.next === 0) {
          order[node] = visited;
          low[node] = visited++;
          isOpen[node] = 1;
          stack.push(node);
        }
        const edge = this.edgesOf(node)[top.next++];
        if (edge !== undefined) {
          if ((edge.kind & kinds) === 0) continue;
          if (order[edge.to] === -1) path.push({ node: edge.to, next: 0 });
          else if (isOpen[edge.to] === 1)
            low[node] = Math.min(low[node] as number, order[edge.to] as number);
          continue;
        }
        path.pop();
        const parent = path.at(-1)?.node;
        if (parent !== undefined)
          low[parent] = Math.min(low[parent] as number, low[node] as number);
        if (low[node] !== order[node]) continue;
        const component = stack.splice(stack.lastIndexOf(node));
        for (const member of component) isOpen[member] = 0;
        if (component.length > 1) found.push(component);
      }
    }
    return found;
  }

  /** A shortest path of such edges inside `within`, both ends included; null where there is none. */
  path(from: number, to: number, kinds: number, within: ReadonlySet<number>): number[] | null {
    const before = new Map<number, number>([[from, -1]]);
    let layer = [from];
    while (layer.length > 0 && !before.has(to)) {
      const next: number[] = [];
      for (const node of layer) {
        for (const edge of this.edgesOf(node)) {
          if ((edge.kind & kinds) === 0 || before.has(edge.to) || !within.has(edge.to)) continue;
          before.set(edge.to, node);
          next.push(edge.to);
        }
      }
      layer = next;
    }
    if (!before.has(to)) return null;
    const nodes: number[] = [];
    for (let at = to; at !== -1; at = before.get(at) as number) nodes.push(at);
    return nodes.reverse();
  }
}
