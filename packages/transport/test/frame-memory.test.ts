import { describe, expect, it } from 'vitest';
import { FrameMemory } from '../src/frame-memory.ts';

describe('the memory of frames', () => {
  it('is given to one user at a time and used again when it was given back', () => {
    const memory = new FrameMemory();
    const first = memory.take(5000);
    const second = memory.take(5000);
    expect(first.length).toBe(8192);
    expect(second.buffer).not.toBe(first.buffer);
    memory.give(first);
    expect(memory.keptBytes).toBe(8192);
    // Another size has memory of its own.
    expect(memory.take(9000).length).toBe(16_384);
    expect(memory.take(4097)).toBe(first);
    expect(memory.keptBytes).toBe(0);
    expect(memory.take(8192).buffer).not.toBe(first.buffer);
  });

  it('keeps neither small nor very large frames, and not more than 8 MiB', () => {
    const memory = new FrameMemory();
    const sizes = [1, 100, 4095, (2 << 20) + 1, 4 << 20];
    for (const bytes of sizes) {
      const taken = memory.take(bytes);
      expect(taken.length).toBe(bytes);
      memory.give(taken);
    }
    expect(memory.keptBytes).toBe(0);
    const burst = Array.from({ length: 100 }, () => memory.take(1 << 20));
    expect(new Set(burst.map((taken) => taken.buffer)).size).toBe(100);
    for (const taken of burst) memory.give(taken);
    expect(memory.keptBytes).toBe(8 << 20);
  });
});
