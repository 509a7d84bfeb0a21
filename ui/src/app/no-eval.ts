import { z } from 'zod';

// zod compiles schemas with `new Function` where it may; a strict content security policy forbids that, and the browser
// logs every try. Import this file before any schema: they look at the setting while they are made.
z.config({ jitless: true });
