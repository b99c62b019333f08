// What the page knows: columns of the images, in the page itself or brought by scripts beside it.

const report = JSON.parse(byId("report-data").textContent);
const brought = {};
const waiting = {};

// Scripts in data/ call this.
window.stylebatchReport = {
  take(kind, number, value) {
    brought[`${kind}-${number}`] = value;
  },
};

// Bring a script's data once; null where it can't be read.
function bring(kind, number, path) {
  const key = `${kind}-${number}`;
  waiting[key] ||= new Promise((resolve) => {
    const done = () => resolve(brought[key] || null);
    document.head.append(el("script", { src: path, onload: done, onerror: done }));
  });
  return waiting[key];
}

const images = { n: 0, contents: [] };
const TEXTS = {};

function add(part) {
  const first = images.contents.length;
  for (const [key, column] of Object.entries(part)) {
    const values = key === "content_of" ? column.map((at) => at + first) : column;
    const known = (images[key] ||= []);
    const missing = key.startsWith("content") && key !== "content_of" ? 0 : images.n - known.length;
    for (let at = 0; at < missing; at++) known.push(null);
    for (const value of values) known.push(value);
  }
  images.n += part.file.length;
}

const nameOf = (key, at) => {
  const number = images[key][at];
  return number === undefined || number < 0 ? null : report.names[key][number];
};
const valueOf = (key, at) => {
  const value = (images[key] || [])[at];
  return value === undefined ? null : value;
};
const contentOf = (at) => images.contents[images.content_of[at]];

// The last part of a path without its suffix.
const stem = (path) => path.slice(path.lastIndexOf("/") + 1).replace(/\.[^.]*$/, "");
const styleName = (style) =>
  style === null ? "" : style.startsWith("blend:") ? style.slice(6) : stem(style);

const encoded = (path) => path.split("/").map(encodeURIComponent).join("/");
const imageLink = (at) => `../images/${encoded(images.file[at])}`;
function inputLink(path) {
  if (report.links[path]) return report.links[path];
  return path.startsWith("/") ? `file://${encoded(path)}` : report.inputs + encoded(path);
}

// Where a thumbnail is; "" stands for the file itself, null for none.
function thumbnailLink(key, itself) {
  if (key === null || key === undefined) return null;
  if (key === "") return itself;
  return report.inline[key] || `thumbnails/${key.slice(0, 2)}/${key}.webp`;
}
const resultThumbnail = (at) => thumbnailLink(images.thumbnail[at], imageLink(at));
function contentThumbnail(at) {
  const key = images.content_thumbnails[images.content_of[at]];
  return thumbnailLink(key, inputLink(contentOf(at)));
}
function styleThumbnail(style) {
  return style === null ? null : thumbnailLink(report.style_thumbnails[style], inputLink(style));
}

// What there is of an image's losses; UNREAD has a file and no curve.
const [CSV, TABLE, UNREAD] = [1, 2, 3];

async function curveOf(at) {
  if (![CSV, TABLE].includes(images.log[at])) return null;
  const name = images.file[at];
  if (report.curves[name]) return report.curves[name];
  const number = Math.floor(at / report.curves_each);
  const path = report.curve_scripts[number];
  const found = path ? await bring("curves", number, path) : null;
  return (found && found[name]) || null;
}
