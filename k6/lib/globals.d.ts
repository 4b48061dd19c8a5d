// What k6 gives to every script without an import, and @types/k6 does not name.

declare const console: Record<'log' | 'info' | 'warn' | 'error', (text: string) => void>;
