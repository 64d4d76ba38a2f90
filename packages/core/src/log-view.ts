// What the core may ask about the log whose bytes it does not hold. Pure reads of the host's index: the same log gives
// the same answers.

export interface LogView {
  /**
   * The last index such that the entries first..index have at most `bytesMax` payload bytes together, but at least
   * `first`; never beyond `last`. The host may stop earlier, where a block ends.
   */
  lastIndexWithin(first: number, last: number, bytesMax: number): number;
  /** Bytes of the entries first..last, exact or a little above. */
  bytesBetween(first: number, last: number): number;
}
