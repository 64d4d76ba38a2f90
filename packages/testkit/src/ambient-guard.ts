// Makes ambient time, timers and randomness throw while simulated code runs, so that a run cannot depend on them
// unnoticed. Only for the length of one synchronous call: test runners need the real ones in between.

function forbidden(name: string): () => never {
  return () => {
    throw new Error(`${name} is not there in a simulation: use the World that was passed in`);
  };
}

/** Holder, property and the name to complain with. */
function ambient(): readonly (readonly [object, string, string])[] {
  return [
    [Date, 'now', 'Date.now'],
    [Math, 'random', 'Math.random'],
    [performance, 'now', 'performance.now'],
    [process, 'hrtime', 'process.hrtime'],
    [process, 'nextTick', 'process.nextTick'],
    [globalThis, 'setTimeout', 'setTimeout'],
    [globalThis, 'setInterval', 'setInterval'],
    [globalThis, 'setImmediate', 'setImmediate'],
    [globalThis, 'queueMicrotask', 'queueMicrotask'],
  ];
}

/** Calls `run` with ambient time, timers and randomness replaced by functions that throw. */
export function withoutAmbient<T>(run: () => T): T {
  const undo: (() => void)[] = [];
  for (const [holder, property, name] of ambient()) {
    const before = Object.getOwnPropertyDescriptor(holder, property);
    Object.defineProperty(holder, property, {
      value: forbidden(name),
      configurable: true,
      writable: true,
    });
    undo.push(() => {
      if (before === undefined) Reflect.deleteProperty(holder, property);
      else Object.defineProperty(holder, property, before);
    });
  }
  try {
    return run();
  } finally {
    for (const restore of undo) restore();
  }
}
