// The second door of this package, for packages/testkit alone: what a harness needs to read the messages that leave a
// host. No promise is made to users about anything here.

export {
  isHostRecord,
  messageBytesAt,
  messageGroupId,
  messageSharedAt,
  messageToGeneration,
  readMessage,
} from './wire.ts';
