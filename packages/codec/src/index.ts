export { type BlockCrc, blockCrcFrontBytes, blockCrcOver, type WasmMemory } from './block-crc.ts';
export {
  type BlockHead,
  type BlockVerdict,
  blockBytesAt,
  blockBytesMax,
  blockBytesOf,
  blockCount,
  blockFirstIndex,
  blockHeaderBytes,
  blockTableSlotBytes,
  blockTerm,
  codecOf,
  entryTypeOf,
  entryTypes,
  hasOnlyKnownEntries,
  isConfigurationBlock,
  isKnownEntry,
  payloadCodecs,
  sealBlockInRecord,
  storedLenMax,
  storedLenOf,
  tableSlot,
  verifyBlockInRecord,
} from './block.ts';
export { copyBytes } from './copy.ts';
export { crc32, crc32OfWords } from './crc.ts';
export {
  type FrameHeader,
  type FrameKind,
  frameHeaderAt,
  frameHeaderBytes,
  frameKinds,
  putFrameHeader,
} from './frame.ts';
export {
  alignUp,
  highHalf,
  putU16,
  putU32,
  putU64,
  u16At,
  u32At,
  u64At,
  u64AtWord,
  wordsOf,
} from './integers.ts';
export {
  entriesFlagRewrite,
  ignorableTypeMin,
  putRecordHead,
  type RecordHead,
  recordAlignment,
  recordHeadAt,
  recordHeadBytes,
  recordLengthAt,
  recordTypes,
} from './record.ts';
export { sliceBlock, slicedBlockBytes } from './slice-block.ts';
