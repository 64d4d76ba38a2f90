// The module that a checking thread runs; scan-team.ts says what it does.

import { workerSide } from '@flotilla/io';
import { TeamMember } from './scan-team.ts';

const side = workerSide();
new TeamMember(side.shared).serve(() => side.tell());
