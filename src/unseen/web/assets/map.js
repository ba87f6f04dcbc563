// A map over a picture: the cells of each view laid where it was cut, as geometry.py lays them.

const SIDE = 320; // pixels of the longer side: a map is smooth
const FOR = [178, 24, 43];
const AGAINST = [33, 102, 172];
const STRENGTH = 0.75; // of the colour, where the map is largest
const HATCH = 10; // pixels between two lines

// base64 of little-endian float16 → numbers.
export const floats = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const halves = new Uint16Array(bytes.buffer);
  return Float32Array.from(halves, (half) => {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return half & 0x8000 ? -size : size;
  });
};

// Bicubic, as Pillow's: a = -1/2; what would lie outside has no weight.
const cubic = (x) => {
  const d = Math.abs(x);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
};

// For each pixel that a side of a box touches: the cells that it is made of, and their weights.
const taps = (start, stop, cells, pixels) => {
  const all = [];
  for (let at = Math.max(0, Math.floor(start + 1e-6)); at < Math.min(pixels, Math.ceil(stop - 1e-6)); at++) {
    const where = ((Math.min(stop, at + 0.5) - start) / (stop - start)) * cells - 0.5;
    const some = [];
    let sum = 0;
    for (let cell = Math.floor(where) - 1; cell <= Math.floor(where) + 2; cell++) {
      if (cell < 0 || cell >= cells) continue;
      const weight = cubic(where - cell);
      some.push([cell, weight]);
      sum += weight;
    }
    all.push([at, some.map(([cell, weight]) => [cell, weight / sum])]);
  }
  return all;
};

// The values of every pixel, width by height. `place`: rows, columns, boxes and size, which is that
// of the picture.
export const laid = (cells, { rows, columns, boxes, size }, width, height) => {
  const total = new Float32Array(width * height);
  const [across, down] = [width / size[0], height / size[1]];
  boxes.forEach(([left, top, right, bottom], view) => {
    const first = view * rows * columns;
    const inX = taps(left * across, right * across, columns, width);
    const inY = taps(top * down, bottom * down, rows, height);
    const line = new Float32Array(width);
    const lines = Array.from({ length: rows }, (_, row) => {
      const wide = line.slice();
      for (const [x, some] of inX) {
        for (const [cell, weight] of some) wide[x] += weight * cells[first + row * columns + cell];
      }
      return wide;
    });
    for (const [y, some] of inY) {
      for (const [row, weight] of some) {
        for (const [x] of inX) total[y * width + x] += weight * lines[row][x];
      }
    }
  });
  return total;
};

// Draws the map on a canvas that lies on the picture; → where most speaks for the label.
export const draw = (canvas, cells, place) => {
  const scale = SIDE / Math.max(...place.size);
  const [width, height] = place.size.map((side) => Math.max(1, Math.round(side * scale)));
  Object.assign(canvas, { width, height });
  const values = laid(cells, place, width, height);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  let best = 0;
  values.forEach((value, i) => {
    if (value > values[best]) best = i;
    image.data.set(value > 0 ? FOR : AGAINST, 4 * i);
    image.data[4 * i + 3] = (255 * STRENGTH * Math.abs(value)) / largest;
  });
  context.putImageData(image, 0, 0);
  hatch(context, place, width, height);
  const third = (at, size, names) => names[Math.min(2, Math.floor((3 * at) / size))];
  const down = third(Math.floor(best / width), height, ["top", "middle", "bottom"]);
  const side = third(best % width, width, ["left", "middle", "right"]);
  return down === side ? down : `${down} ${side}`;
};

// Lines over what the net did not see.
const hatch = (context, { boxes, size }, width, height) => {
  const edge = (i, most) => Math[most](...boxes.map((box) => box[i]));
  const [across, down] = [width / size[0], height / size[1]];
  const left = Math.max(0, edge(0, "min") * across);
  const top = Math.max(0, edge(1, "min") * down);
  const right = Math.min(width, edge(2, "max") * across);
  const bottom = Math.min(height, edge(3, "max") * down);
  context.save();
  const unseen = new Path2D();
  unseen.rect(0, 0, width, height);
  unseen.rect(left, top, right - left, bottom - top);
  context.clip(unseen, "evenodd");
  context.strokeStyle = "rgb(90 90 90 / 0.7)";
  context.beginPath();
  for (let start = -height; start < width; start += HATCH) {
    context.moveTo(start, height);
    context.lineTo(start + height, 0);
  }
  context.stroke();
  context.restore();
};
