import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  plugins: [svelte({ configFile: false })],
  worker: { format: 'es' },
  // Fonts stay files of their own: a strict content security policy takes no data: URLs.
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2023', assetsInlineLimit: 0 },
  server: { proxy: { '/api': 'http://127.0.0.1:7070', '/socket.io': { target: 'http://127.0.0.1:7070', ws: true } } },
});
