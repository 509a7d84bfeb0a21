// What there is to see: three large spheres (glass, copper, verdigris lacquer) among a lattice of small ones, on a dark
// lacquered ground, under a warm key light and a cool rim light. All are spheres but the ground (y = 0).

/** Materials. Lacquer is a coloured ground under a clear coat. */
export const LACQUER: i32 = 0;
export const METAL: i32 = 1;
export const GLASS: i32 = 2;
export const LIGHT: i32 = 3;

/** The nearest surface that the last ray met. */
export let hitDistance: f64 = 0;
export let hitMaterial: i32 = 0;
export let normalX: f64 = 0;
export let normalY: f64 = 0;
export let normalZ: f64 = 0;
export let colourR: f64 = 0;
export let colourG: f64 = 0;
export let colourB: f64 = 0;
/** How far a reflection strays: 0 is a mirror. */
export let roughness: f64 = 0;

const FAR: f64 = 1e9;
const NEAR: f64 = 1e-6;

// x, y, z, radius, material, r, g, b, roughness
const STRIDE = 9;
export const BIG: i32 = 5;
export const LIGHTS: i32 = 2;
const spheres: StaticArray<f64> = [
  -1.52, 1.0, 0.55, 1.0, 1, 0.98, 0.53, 0.32, 0.06, // copper
  0.3, 0.72, -1.25, 0.72, 2, 0.985, 1.0, 0.992, 0, // glass
  1.62, 1.18, 1.15, 1.18, 0, 0.045, 0.34, 0.225, 0.02, // verdigris
  -0.62, 0.3, -2.1, 0.3, 0, 0.62, 0.2, 0.07, 0.02, // a small copper-red one in front
  1.62, 0.36, -1.72, 0.36, 1, 0.62, 0.86, 0.78, 0.16, // a small satin one in front
  -4.6, 7.4, -3.6, 2.3, 3, 19, 16, 12.4, 0, // key
  6.4, 5.2, 6.4, 2.0, 3, 5, 12, 10.2, 0, // rim
];

// The lattice of small spheres: cells of the ground, each with one sphere or none.
const CELL: f64 = 0.46;
const SMALL: f64 = 0.135;
const COLUMNS: i32 = 44;
const ROWS: i32 = 44;
const LEFT: f64 = -CELL * 22.0;
const FRONT: f64 = -CELL * 9.0;
const NONE: u8 = 0;
const cells: StaticArray<u8> = new StaticArray<u8>(COLUMNS * ROWS);

/** Which sphere a cell holds: 1 verdigris, 2 copper, 3 glowing, 4 and 5 dark. Mostly dark, so that the others shine. */
function kindOf(column: i32, row: i32): u8 {
  let hash = <u32>(column * 73856093) ^ <u32>(row * 19349663);
  hash = (hash ^ (hash >>> 15)) * 0x2c1b3c6d;
  hash = (hash ^ (hash >>> 12)) * 0x297a2d39;
  const dice = (hash ^ (hash >>> 15)) % 100;
  if (dice < 34) return 1;
  if (dice < 48) return 2;
  if (dice < 53) return 3;
  return dice < 78 ? 4 : 5;
}

/** Fills the lattice; keeps clear of the large spheres. */
export function buildScene(): void {
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      const x = LEFT + (<f64>column + 0.5) * CELL;
      const z = FRONT + (<f64>row + 0.5) * CELL;
      let kind = kindOf(column, row);
      for (let i = 0; i < BIG; i++) {
        const dx = x - number(i, 0);
        const dz = z - number(i, 2);
        const radius = number(i, 3);
        // On the ground two touching spheres stand 2 * sqrt(r1 * r2) apart.
        const apart = 2.0 * sqrt(radius * SMALL) + 0.03;
        if (dx * dx + dz * dz < apart * apart) kind = NONE;
      }
      unchecked((cells[row * COLUMNS + column] = kind));
    }
  }
}

// @ts-ignore: decorator
@inline
function number(sphere: i32, field: i32): f64 {
  return unchecked(spheres[sphere * STRIDE + field]);
}

export function lightField(light: i32, field: i32): f64 {
  return number(BIG + light, field);
}

/** Distance to a sphere along a ray of unit direction, or FAR. */
// @ts-ignore: decorator
@inline
function distanceTo(cx: f64, cy: f64, cz: f64, radius: f64, ox: f64, oy: f64, oz: f64, dx: f64, dy: f64, dz: f64): f64 {
  const x = cx - ox;
  const y = cy - oy;
  const z = cz - oz;
  const along = x * dx + y * dy + z * dz;
  const square = along * along - (x * x + y * y + z * z) + radius * radius;
  if (square <= 0.0) return FAR;
  const half = sqrt(square);
  if (along - half > NEAR) return along - half;
  return along + half > NEAR ? along + half : FAR;
}

// Where the last walk through the lattice met a sphere.
let cellKind: u8 = 0;
let cellX: f64 = 0;
let cellZ: f64 = 0;

/** Nearest small sphere nearer than `limit`, or FAR: walks the cells under the ray (Amanatides and Woo, 1987). */
function lattice(ox: f64, oy: f64, oz: f64, dx: f64, dy: f64, dz: f64, limit: f64): f64 {
  let enter: f64 = NEAR;
  let leave = limit;
  // Only where the ray is lower than the spheres' tops.
  const top = SMALL * 2.0;
  if (dy > 1e-12 || dy < -1e-12) {
    const a = -oy / dy;
    const b = (top - oy) / dy;
    enter = max(enter, min(a, b));
    leave = min(leave, max(a, b));
  } else if (oy < 0.0 || oy > top) return FAR;
  const ix = 1.0 / (dx > 1e-12 || dx < -1e-12 ? dx : 1e-12);
  const iz = 1.0 / (dz > 1e-12 || dz < -1e-12 ? dz : 1e-12);
  const xa = (LEFT - ox) * ix;
  const xb = (LEFT + CELL * <f64>COLUMNS - ox) * ix;
  const za = (FRONT - oz) * iz;
  const zb = (FRONT + CELL * <f64>ROWS - oz) * iz;
  enter = max(enter, max(min(xa, xb), min(za, zb)));
  leave = min(leave, min(max(xa, xb), max(za, zb)));
  if (enter >= leave) return FAR;
  let column = clampTo(<i32>floor((ox + dx * enter - LEFT) / CELL), COLUMNS);
  let row = clampTo(<i32>floor((oz + dz * enter - FRONT) / CELL), ROWS);
  const stepX = ix > 0.0 ? 1 : -1;
  const stepZ = iz > 0.0 ? 1 : -1;
  let nextX = (LEFT + <f64>(column + (stepX > 0 ? 1 : 0)) * CELL - ox) * ix;
  let nextZ = (FRONT + <f64>(row + (stepZ > 0 ? 1 : 0)) * CELL - oz) * iz;
  const acrossX = CELL * abs(ix);
  const acrossZ = CELL * abs(iz);
  while (true) {
    const kind = unchecked(cells[row * COLUMNS + column]);
    if (kind != NONE) {
      const cx = LEFT + (<f64>column + 0.5) * CELL;
      const cz = FRONT + (<f64>row + 0.5) * CELL;
      const t = distanceTo(cx, SMALL, cz, SMALL, ox, oy, oz, dx, dy, dz);
      if (t < leave) {
        cellKind = kind;
        cellX = cx;
        cellZ = cz;
        return t;
      }
    }
    if (nextX < nextZ) {
      if (nextX > leave) return FAR;
      nextX += acrossX;
      column += stepX;
      if (<u32>column >= <u32>COLUMNS) return FAR;
    } else {
      if (nextZ > leave) return FAR;
      nextZ += acrossZ;
      row += stepZ;
      if (<u32>row >= <u32>ROWS) return FAR;
    }
  }
}

// @ts-ignore: decorator
@inline
function clampTo(index: i32, count: i32): i32 {
  return max(0, min(index, count - 1));
}

/** Whether anything but a light stands between a point and one of the lights, `limit` away. */
export function blocked(ox: f64, oy: f64, oz: f64, dx: f64, dy: f64, dz: f64, limit: f64): bool {
  for (let i = 0; i < BIG; i++) {
    if (distanceTo(number(i, 0), number(i, 1), number(i, 2), number(i, 3), ox, oy, oz, dx, dy, dz) < limit) return true;
  }
  return lattice(ox, oy, oz, dx, dy, dz, limit) < FAR;
}

/** Finds what the ray meets first and describes it in the variables above; answers whether it meets anything. */
export function trace(ox: f64, oy: f64, oz: f64, dx: f64, dy: f64, dz: f64): bool {
  let nearest = FAR;
  let sphere = -1;
  for (let i = 0; i < BIG + LIGHTS; i++) {
    const t = distanceTo(number(i, 0), number(i, 1), number(i, 2), number(i, 3), ox, oy, oz, dx, dy, dz);
    if (t < nearest) {
      nearest = t;
      sphere = i;
    }
  }
  const ground = dy < -1e-9 ? -oy / dy : FAR;
  const onGround = ground > NEAR && ground < nearest;
  if (onGround) nearest = ground;
  const small = lattice(ox, oy, oz, dx, dy, dz, nearest);
  if (small < nearest) {
    hitDistance = small;
    describeSmall((ox + dx * small - cellX) / SMALL, (oy + dy * small - SMALL) / SMALL, (oz + dz * small - cellZ) / SMALL);
    return true;
  }
  if (nearest == FAR) return false;
  hitDistance = nearest;
  if (onGround) {
    describe(LACQUER, 0.011, 0.0145, 0.0165, 0.035);
    normalX = 0.0;
    normalY = 1.0;
    normalZ = 0.0;
    return true;
  }
  describe(<i32>number(sphere, 4), number(sphere, 5), number(sphere, 6), number(sphere, 7), number(sphere, 8));
  const radius = number(sphere, 3);
  normalX = (ox + dx * nearest - number(sphere, 0)) / radius;
  normalY = (oy + dy * nearest - number(sphere, 1)) / radius;
  normalZ = (oz + dz * nearest - number(sphere, 2)) / radius;
  return true;
}

// @ts-ignore: decorator
@inline
function describe(material: i32, r: f64, g: f64, b: f64, rough: f64): void {
  hitMaterial = material;
  colourR = r;
  colourG = g;
  colourB = b;
  roughness = rough;
}

function describeSmall(nx: f64, ny: f64, nz: f64): void {
  normalX = nx;
  normalY = ny;
  normalZ = nz;
  if (cellKind == 1) describe(LACQUER, 0.09, 0.5, 0.33, 0.03);
  else if (cellKind == 2) describe(METAL, 0.95, 0.5, 0.29, 0.12);
  else if (cellKind == 3) describe(LIGHT, 1.9, 0.56, 0.13, 0.0);
  else if (cellKind == 4) describe(LACQUER, 0.03, 0.038, 0.042, 0.05);
  else describe(METAL, 0.3, 0.34, 0.36, 0.2);
}
