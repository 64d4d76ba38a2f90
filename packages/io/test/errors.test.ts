import { describe, expect, it } from 'vitest';
import { errorWithoutStack, FlotillaError } from '../src/index.ts';

describe('an error without a stack', () => {
  it('is the same error otherwise, and the next one has its stack again', () => {
    const light = errorWithoutStack('BUSY', 'try again later', { groupId: 7 });
    expect(light).toBeInstanceOf(FlotillaError);
    expect(light).toMatchObject({ code: 'BUSY', retryable: true, details: { groupId: 7 } });
    expect(light.stack).not.toContain('    at ');
    expect(new FlotillaError('BUSY', 'again').stack).toContain('errors.test.ts');
  });
});
