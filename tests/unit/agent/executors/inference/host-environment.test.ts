import { expect, it } from 'vitest';

import { hostEnvironment } from '#agent/executors/inference/host-environment.ts';

it('passes on what a process needs and no secret', () => {
  const agent = {
    PATH: '/bin', LANG: 'C.UTF-8', CUDA_VISIBLE_DEVICES: '0', HOME: '/home/somebody', CORPGRID_KEY: 'secret', AWS_SECRET_ACCESS_KEY: 'secret',
    DATABASE_URL: 'postgres://a:b@c/d', NODE_OPTIONS: '--inspect', LD_PRELOAD: '/tmp/evil.so', NODE_LLAMA_CPP_DEBUG: 'true',
  }; // prettier-ignore
  expect(hostEnvironment(agent)).toEqual({ PATH: '/bin', LANG: 'C.UTF-8', CUDA_VISIBLE_DEVICES: '0' });
});

it('shows the host its devices and no others', () => {
  const visible = hostEnvironment({ CUDA_VISIBLE_DEVICES: '0,1,2' }, [2, 0]);
  expect(visible).toEqual({ CUDA_VISIBLE_DEVICES: '2,0', GGML_VK_VISIBLE_DEVICES: '2,0', HIP_VISIBLE_DEVICES: '2,0' });
  expect(hostEnvironment({}, [])).toMatchObject({ CUDA_VISIBLE_DEVICES: '' });
});
