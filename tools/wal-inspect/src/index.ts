export { exitCodes, run } from './run.ts';
