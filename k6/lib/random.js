// Chance that can be repeated: the same words of seed give the same numbers on every machine.
// Must not know what is drawn for.

/**
 * A stream of random numbers that follows from `seeds` alone.
 *
 * @param {...(string | number)} seeds
 * @returns {import('./types').Random}
 */
export function randomStream(...seeds) {
  let state = hash(seeds.join('/'));
  // mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty for one visit.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    below: (count) => Math.floor(next() * count),
    chance: (probability) => next() < probability,
    exponential: (mean) => -Math.log(1 - next()) * mean,
    zipf: (count) => rankAt(next(), count),
    weighted: (choices) => {
      let left = next() * choices.reduce((sum, [weight]) => sum + weight, 0);
      for (const [weight, value] of choices) {
        left -= weight;
        if (left < 0) {
          return value;
        }
      }
      return choices[choices.length - 1][1];
    },
  };
}

/**
 * `items` in another order (Fisher-Yates).
 *
 * @template Item
 * @param {Item[]} items
 * @param {import('./types').Random} random
 * @returns {Item[]}
 */
export function shuffled(items, random) {
  const order = items.slice();
  for (let last = order.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/**
 * `length` random hexadecimal digits, different in every run.
 *
 * @param {number} length
 */
export function freshHex(length) {
  let digits = '';
  while (digits.length < length) {
    digits += Math.floor(Math.random() * 0x100000000).toString(16).padStart(8, '0');
  }
  return digits.slice(0, length);
}

/**
 * FNV-1a, then murmur3's finaliser: neighbouring iteration numbers must not draw alike.
 *
 * @param {string} text
 */
function hash(text) {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** @type {Record<number, Float64Array>} */
const cumulative = {};

/**
 * @param {number} share
 * @param {number} count
 */
function rankAt(share, count) {
  if (!cumulative[count]) {
    let sum = 0;
    cumulative[count] = Float64Array.from({ length: count }, (_, rank) => (sum += 1 / (rank + 1)));
  }
  const sums = cumulative[count];
  const wanted = share * sums[count - 1];
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle] > wanted) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}
