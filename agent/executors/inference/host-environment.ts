/**
 * The environment of an inference host: named variables and nothing else, so that no secret of the agent's reaches the
 * process that reads model files from anywhere.
 */

/** What a process needs to start, and what GPU drivers need to be found. */
const PASSED = [
  'PATH',
  'LANG',
  'TZ',
  'TMPDIR',
  'TEMP',
  'TMP',
  'SystemRoot',
  'windir',
  'LD_LIBRARY_PATH',
  'CUDA_PATH',
  'VULKAN_SDK',
  'VK_ICD_FILENAMES',
];

/** How each GPU runtime is told which devices exist for it. */
const VISIBLE = ['CUDA_VISIBLE_DEVICES', 'GGML_VK_VISIBLE_DEVICES', 'HIP_VISIBLE_DEVICES'];

/**
 * @param agent the agent's own environment
 * @param devices indices of the GPUs that the host may use, in the order of the GPU runtime; undefined leaves the choice as the agent found it
 */
export function hostEnvironment(agent: Readonly<Record<string, string | undefined>>, devices?: readonly number[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of [...PASSED, ...VISIBLE]) {
    const value = agent[name];
    if (value !== undefined) environment[name] = value;
  }
  if (devices !== undefined) for (const name of VISIBLE) environment[name] = devices.join(',');
  return environment;
}
