import './app/no-eval.ts';
import './app/fonts.css';
import './app/tokens.css';
import './app/base.css';

import { mount } from 'svelte';

import App from './app/App.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no element with the id "app"');
mount(App, { target });
