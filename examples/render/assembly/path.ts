// Follows one path of light backwards from the eye (Kajiya 1986), with direct sampling of the two lights at each diffuse
// bounce (Shirley, Wang, Zimmerman 1996). Arithmetic is + - * / and sqrt in f64 only: IEEE 754 defines their every bit.
// No NaN can arise: nothing is divided by what may be 0, and no root is taken of what may be negative.

import { discX, discY, sampleDisc, sampleSphere, sphereX, sphereY, sphereZ, uniform } from "./random";
import {
  blocked, colourB, colourG, colourR, GLASS, hitDistance, hitMaterial, LIGHT, lightField, LIGHTS, METAL, normalX, normalY, normalZ, roughness, trace,
} from "./scene";

const DEPTH = 9;
const GLASS_INDEX: f64 = 1.5;
const COAT: f64 = 0.04;
/** A coat reflects little; it is followed this often all the same, and counts for less, so that its highlights are smooth. */
const COAT_CHANCE: f64 = 0.25;
/** What one path may bring from a light by way of a diffuse surface and a mirror: more would be a speck in the picture. */
const BRIGHTEST_DETOUR: f64 = 0.9;
/** Rays begin this far off a surface. */
const OFFSET: f64 = 1e-5;

/** What came back along the path. */
export let lightR: f64 = 0;
export let lightG: f64 = 0;
export let lightB: f64 = 0;

// The ray in flight and what a bounce would let through.
let ox: f64 = 0, oy: f64 = 0, oz: f64 = 0;
let dx: f64 = 0, dy: f64 = 0, dz: f64 = 0;
let throughR: f64 = 0, throughG: f64 = 0, throughB: f64 = 0;
/** Lights count when they are seen straight or in a mirror; a diffuse surface has sampled them already. */
let sharp: bool = true;
/** Whether the path has left a diffuse surface. */
let scattered: bool = false;

export function followPath(fromX: f64, fromY: f64, fromZ: f64, towardsX: f64, towardsY: f64, towardsZ: f64): void {
  ox = fromX;
  oy = fromY;
  oz = fromZ;
  setDirection(towardsX, towardsY, towardsZ);
  lightR = lightG = lightB = 0.0;
  throughR = throughG = throughB = 1.0;
  sharp = true;
  scattered = false;
  for (let depth = 0; depth < DEPTH; depth++) {
    if (!trace(ox, oy, oz, dx, dy, dz)) {
      addSky();
      break;
    }
    if (hitMaterial == LIGHT) {
      addLight(depth);
      break;
    }
    ox += dx * hitDistance;
    oy += dy * hitDistance;
    oz += dz * hitDistance;
    if (hitMaterial == GLASS) refract();
    else if (hitMaterial == METAL) reflectMetal();
    else meetLacquer();
    if (depth >= 3 && !survives()) break;
  }
}

// @ts-ignore: decorator
@inline
function setDirection(x: f64, y: f64, z: f64): void {
  const scale = 1.0 / sqrt(x * x + y * y + z * z);
  dx = x * scale;
  dy = y * scale;
  dz = z * scale;
}

/** A dark dome, greener towards the horizon, with a wide warm softbox behind the eye: the metals need something to mirror. */
function addSky(): void {
  const up = max(dy, 0.0);
  const glow = (1.0 - up) * (1.0 - up);
  const low = glow * glow;
  const behind = max(0.0, dy * 0.62 - dz * 0.68 - dx * 0.3);
  const box = behind * behind * behind;
  lightR += throughR * (0.004 + 0.010 * low + 1.05 * box);
  lightG += throughG * (0.0062 + 0.024 * low + 0.96 * box);
  lightB += throughB * (0.0080 + 0.025 * low + 0.86 * box);
}

/** The glowing small spheres are never sampled directly, so they count on every path; the two lights only on sharp ones. */
function addLight(depth: i32): void {
  const small = colourR < 5.0;
  if (!small && !sharp) return;
  // To the eye itself a glowing sphere is shaded a little, so that it keeps its shape.
  const facing = depth == 0 && small ? 0.35 + 0.65 * max(0.0, -(dx * normalX + dy * normalY + dz * normalZ)) : 1.0;
  const most = scattered && !small ? BRIGHTEST_DETOUR : 1e9;
  lightR += min(most, throughR * colourR * facing);
  lightG += min(most, throughG * colourG * facing);
  lightB += min(most, throughB * colourB * facing);
}

/** Schlick's approximation of Fresnel's reflectance. */
// @ts-ignore: decorator
@inline
function schlick(cosine: f64, straight: f64): f64 {
  const rest = 1.0 - max(0.0, min(1.0, cosine));
  const square = rest * rest;
  return straight + (1.0 - straight) * square * square * rest;
}

/** Mirrors the ray, strewn by the surface's roughness. */
function reflect(): void {
  const twice = 2.0 * (dx * normalX + dy * normalY + dz * normalZ);
  let rx = dx - twice * normalX;
  let ry = dy - twice * normalY;
  let rz = dz - twice * normalZ;
  if (roughness > 0.0) {
    sampleSphere();
    const reach = roughness * uniform();
    const sx = rx + sphereX * reach;
    const sy = ry + sphereY * reach;
    const sz = rz + sphereZ * reach;
    if (sx * normalX + sy * normalY + sz * normalZ > 0.0) {
      rx = sx;
      ry = sy;
      rz = sz;
    }
  }
  setDirection(rx, ry, rz);
  leave(1.0);
  sharp = true;
}

function reflectMetal(): void {
  const facing = -(dx * normalX + dy * normalY + dz * normalZ);
  throughR *= schlick(facing, colourR);
  throughG *= schlick(facing, colourG);
  throughB *= schlick(facing, colourB);
  reflect();
}

/** Follows the mirrored ray off the coat or the scattered one from below it. */
function meetLacquer(): void {
  const share = schlick(-(dx * normalX + dy * normalY + dz * normalZ), COAT);
  const chance = max(share, COAT_CHANCE);
  const mirrored = uniform() < chance;
  const weight = mirrored ? share / chance : (1.0 - share) / (1.0 - chance);
  throughR *= weight;
  throughG *= weight;
  throughB *= weight;
  if (mirrored) reflect();
  else scatter();
}

/** Glass: reflects or lets through, by Fresnel's share. */
function refract(): void {
  let cosine = -(dx * normalX + dy * normalY + dz * normalZ);
  const inside = cosine < 0.0;
  const side = inside ? -1.0 : 1.0;
  cosine *= side;
  const ratio = inside ? GLASS_INDEX : 1.0 / GLASS_INDEX;
  const square = 1.0 - ratio * ratio * (1.0 - cosine * cosine);
  if (inside) {
    throughR *= colourR;
    throughG *= colourG;
    throughB *= colourB;
  }
  const bent = square > 0.0 ? sqrt(square) : 0.0;
  const straight = (1.0 - GLASS_INDEX) / (1.0 + GLASS_INDEX);
  if (square <= 0.0 || uniform() < schlick(inside ? bent : cosine, straight * straight)) {
    const twice = 2.0 * cosine * side;
    setDirection(dx + twice * normalX, dy + twice * normalY, dz + twice * normalZ);
    leave(side);
  } else {
    const along = (ratio * cosine - bent) * side;
    setDirection(dx * ratio + normalX * along, dy * ratio + normalY * along, dz * ratio + normalZ * along);
    leave(-side);
  }
  sharp = true;
}

/** Steps off the surface to its outer (1) or inner (-1) side. */
// @ts-ignore: decorator
@inline
function leave(side: f64): void {
  ox += normalX * OFFSET * side;
  oy += normalY * OFFSET * side;
  oz += normalZ * OFFSET * side;
}

/** A diffuse bounce: takes the light that falls here straight from the lights, then goes on in a cosine-weighted direction. */
function scatter(): void {
  const nx = normalX;
  const ny = normalY;
  const nz = normalZ;
  leave(1.0);
  throughR *= colourR;
  throughG *= colourG;
  throughB *= colourB;
  for (let light = 0; light < LIGHTS; light++) gatherFrom(light, nx, ny, nz);
  sampleSphere();
  const x = nx + sphereX;
  const y = ny + sphereY;
  const z = nz + sphereZ;
  if (x * x + y * y + z * z > 1e-9) setDirection(x, y, z);
  else setDirection(nx, ny, nz);
  sharp = false;
  scattered = true;
}

/** Samples the cone under which a spherical light is seen. */
function gatherFrom(light: i32, nx: f64, ny: f64, nz: f64): void {
  const x = lightField(light, 0) - ox;
  const y = lightField(light, 1) - oy;
  const z = lightField(light, 2) - oz;
  const radius = lightField(light, 3);
  const square = x * x + y * y + z * z;
  const distance = sqrt(square);
  const narrow = 1.0 - sqrt(max(0.0, 1.0 - (radius * radius) / square));
  const cosine = 1.0 - uniform() * narrow;
  const sine = sqrt(max(0.0, 1.0 - cosine * cosine));
  // Two axes across the direction w to the light (Duff et al. 2017).
  const wx = x / distance;
  const wy = y / distance;
  const wz = z / distance;
  const sign = wz >= 0.0 ? 1.0 : -1.0;
  const a = -1.0 / (sign + wz);
  const b = wx * wy * a;
  do sampleDisc();
  while (discX * discX + discY * discY < 1e-6);
  const scale = sine / sqrt(discX * discX + discY * discY);
  const u = discX * scale;
  const v = discY * scale;
  const lx = (1.0 + sign * wx * wx * a) * u + b * v + wx * cosine;
  const ly = sign * b * u + (sign + wy * wy * a) * v + wy * cosine;
  const lz = -sign * wx * u - wy * v + wz * cosine;
  const facing = lx * nx + ly * ny + lz * nz;
  if (facing <= 0.0) return;
  if (blocked(ox, oy, oz, lx, ly, lz, distance - radius)) return;
  // Lambert's 1/pi against the cone's 2 pi.
  const share = facing * 2.0 * narrow;
  lightR += throughR * lightField(light, 5) * share;
  lightG += throughG * lightField(light, 6) * share;
  lightB += throughB * lightField(light, 7) * share;
}

/** Russian roulette: dim paths mostly end here, and the rest stand for them. */
function survives(): bool {
  const chance = min(0.95, max(throughR, max(throughG, throughB)));
  if (uniform() >= chance) return false;
  throughR /= chance;
  throughG /= chance;
  throughB /= chance;
  return true;
}
