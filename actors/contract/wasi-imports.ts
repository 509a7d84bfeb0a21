/**
 * The functions of WASI preview 1, all that a module may import: name → parameters, `i` for i32 and `I` for i64.
 * Each answers an i32 (its error number) except `proc_exit`, which answers nothing.
 *
 * Source: WebAssembly/WASI, legacy/preview1/docs.md.
 */
const PARAMETERS = {
  args_get: 'ii',
  args_sizes_get: 'ii',
  clock_res_get: 'ii',
  clock_time_get: 'iIi',
  environ_get: 'ii',
  environ_sizes_get: 'ii',
  fd_advise: 'iIIi',
  fd_allocate: 'iII',
  fd_close: 'i',
  fd_datasync: 'i',
  fd_fdstat_get: 'ii',
  fd_fdstat_set_flags: 'ii',
  fd_fdstat_set_rights: 'iII',
  fd_filestat_get: 'ii',
  fd_filestat_set_size: 'iI',
  fd_filestat_set_times: 'iIIi',
  fd_pread: 'iiiIi',
  fd_prestat_dir_name: 'iii',
  fd_prestat_get: 'ii',
  fd_pwrite: 'iiiIi',
  fd_read: 'iiii',
  fd_readdir: 'iiiIi',
  fd_renumber: 'ii',
  fd_seek: 'iIii',
  fd_sync: 'i',
  fd_tell: 'ii',
  fd_write: 'iiii',
  path_create_directory: 'iii',
  path_filestat_get: 'iiiii',
  path_filestat_set_times: 'iiiiIIi',
  path_link: 'iiiiiii',
  path_open: 'iiiiiIIii',
  path_readlink: 'iiiiii',
  path_remove_directory: 'iii',
  path_rename: 'iiiiii',
  path_symlink: 'iiiii',
  path_unlink_file: 'iii',
  poll_oneoff: 'iiii',
  proc_exit: 'i',
  proc_raise: 'i',
  random_get: 'ii',
  sched_yield: '',
  sock_accept: 'iii',
  sock_recv: 'iiiiii',
  sock_send: 'iiiii',
  sock_shutdown: 'ii',
} as const;

export const WASI_MODULE = 'wasi_snapshot_preview1';

/** Every name of WASI preview 1 with its type, written as `(i32 i64) -> (i32)`. */
export const WASI_TYPES: ReadonlyMap<string, string> = new Map(
  Object.entries(PARAMETERS).map(([name, letters]) => [
    name,
    typeText(
      Array.from(letters, (letter) => (letter === 'i' ? 'i32' : 'i64')),
      name === 'proc_exit' ? [] : ['i32'],
    ),
  ]),
);

export function typeText(parameters: readonly string[], results: readonly string[]): string {
  return `(${parameters.join(' ')}) -> (${results.join(' ')})`;
}
