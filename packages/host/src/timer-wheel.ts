// One hashed timer wheel for the deadlines of all replicas of a host.
//
// A deadline that moves later costs nothing: the wheel keeps the earlier one, finds out when it fires, and files the item
// again. Only a deadline that moves earlier is filed at once. An item may stand in several slots; the one that counts is
// its `wheelSlot`.

import type { Clock, Timer } from '@flotilla/io';

/** What the wheel keeps in its items: Infinity and -1 = not filed. */
export interface WheelItem {
  wheelDueMs: number;
  /** Number of the slot that counts; what stands in others is stale. */
  wheelSlot: number;
}

const slotMs = 8;
const slotCount = 1024;

export class TimerWheel<Item extends WheelItem> {
  readonly #clock: Clock;
  readonly #onSlotDue: () => void;
  readonly #slots: Item[][] = Array.from({ length: slotCount }, () => []);
  /** Number of the slot (since time 0, not modulo) that fires next. */
  #cursor: number;
  #filed = 0;
  #timer: Timer | null = null;
  /** The slot whose end the timer waits for. */
  #armedSlot = Infinity;

  /** `onSlotDue` is called from the clock; it should arrange that takeDue() is called soon. */
  constructor(clock: Clock, onSlotDue: () => void) {
    this.#clock = clock;
    this.#onSlotDue = onSlotDue;
    this.#cursor = Math.floor(clock.monotonicMs() / slotMs);
  }

  /** Sees to it that `item` is handed out at `dueMs` or up to a slot later, unless it is filed earlier already. */
  file(item: Item, dueMs: number): void {
    if (dueMs >= item.wheelDueMs) return;
    item.wheelDueMs = dueMs;
    this.#insert(item);
  }

  /**
   * Hands out the items of all slots that are over. `visit` answers the item's next deadline (Infinity = none), at which
   * it is filed again.
   */
  takeDue(nowMs: number, visit: (item: Item) => number): void {
    const nowSlot = Math.floor(nowMs / slotMs);
    // After a long stall every slot is visited once, not once for each round that was missed.
    if (nowSlot - this.#cursor > slotCount) this.#cursor = nowSlot - slotCount;
    while (this.#cursor < nowSlot) {
      const slot = this.#cursor++;
      const index = slot % slotCount;
      const items = this.#slots[index] as Item[];
      if (items.length === 0) continue;
      this.#slots[index] = [];
      this.#filed -= items.length;
      for (const item of items) {
        // Filed elsewhere since, or removed. (After a stall the slot it was filed in may be rounds behind.)
        const isHere = item.wheelSlot % slotCount === index && item.wheelSlot <= slot;
        if (!isHere) continue;
        if (item.wheelDueMs > nowMs) {
          this.#insert(item); // it was beyond the horizon when it was filed here
          continue;
        }
        item.wheelSlot = -1;
        item.wheelDueMs = Infinity;
        this.file(item, visit(item));
      }
    }
    if (this.#armedSlot === Infinity) this.#arm();
  }

  /** Forgets the item; what stands of it in slots is skipped. */
  remove(item: Item): void {
    item.wheelDueMs = Infinity;
    item.wheelSlot = -1;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #slotOf(dueMs: number): number {
    return Math.max(this.#cursor, Math.floor(dueMs / slotMs));
  }

  #insert(item: Item): void {
    // A deadline beyond the wheel's horizon waits in its last slot and is filed again from there.
    const slot = Math.min(this.#slotOf(item.wheelDueMs), this.#cursor + slotCount - 1);
    item.wheelSlot = slot;
    (this.#slots[slot % slotCount] as Item[]).push(item);
    this.#filed++;
    if (slot < this.#armedSlot) this.#armAt(slot);
  }

  #arm(): void {
    if (this.#filed === 0) return;
    let slot = this.#cursor;
    while ((this.#slots[slot % slotCount] as Item[]).length === 0) slot++;
    this.#armAt(slot);
  }

  #armAt(slot: number): void {
    this.#timer?.cancel();
    this.#armedSlot = slot;
    this.#timer = this.#clock.at((slot + 1) * slotMs, () => {
      this.#timer = null;
      this.#armedSlot = Infinity;
      this.#onSlotDue();
    });
  }
}
