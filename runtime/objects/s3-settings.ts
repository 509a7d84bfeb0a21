import { GridError } from '#runtime/errors.ts';

export interface S3Settings {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const FIX = 'Set S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or none of them to keep objects on the disk.';

/**
 * The S3 of the environment: S3_ENDPOINT, S3_BUCKET, S3_REGION (us-east-1 unless told otherwise), S3_ACCESS_KEY_ID,
 * S3_SECRET_ACCESS_KEY. Null when S3_ENDPOINT and S3_BUCKET are both missing.
 * @throws GridError BAD_CONFIGURATION, with the variable as its path
 */
export function s3SettingsOf(environment: Readonly<Record<string, string | undefined>>): S3Settings | null {
  const { S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = environment;
  if (S3_ENDPOINT === undefined && S3_BUCKET === undefined) return null;
  const wanted = { S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY };
  for (const [name, value] of Object.entries(wanted)) {
    if (value === undefined || value === '') throw new GridError('BAD_CONFIGURATION', `${name} is missing.`, { path: name, fix: FIX });
  }
  const settings = {
    endpoint: S3_ENDPOINT ?? '',
    bucket: S3_BUCKET ?? '',
    region: S3_REGION ?? 'us-east-1',
    accessKeyId: S3_ACCESS_KEY_ID ?? '',
    secretAccessKey: S3_SECRET_ACCESS_KEY ?? '',
  };
  const url = URL.canParse(settings.endpoint) ? new URL(settings.endpoint) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new GridError('BAD_CONFIGURATION', 'S3_ENDPOINT is not an address like https://s3.example:9000.', {
      path: 'S3_ENDPOINT',
      fix: `${FIX} Agents and clients must reach the endpoint, too.`,
    });
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(settings.bucket)) {
    throw new GridError('BAD_CONFIGURATION', `S3_BUCKET ${JSON.stringify(settings.bucket)} is not the name of a bucket.`, {
      path: 'S3_BUCKET',
      fix: 'Give 3 to 63 lower-case letters, digits, dots and hyphens.',
    });
  }
  return settings;
}
