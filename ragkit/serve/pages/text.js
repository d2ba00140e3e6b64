// Offsets of the API count characters (code points); those of JavaScript count UTF-16 units. Here they meet.

/** The text between two offsets of the API. */
export class Text {
  constructor(text) {
    this.text = text;
    // Almost every text has no character that takes two units, and then offsets are the same.
    this.points = /[\ud800-\udfff]/.test(text) ? Array.from(text) : null;
    this.length = this.points ? this.points.length : text.length;
  }

  slice(start, end) {
    return this.points ? this.points.slice(start, end).join("") : this.text.slice(start, end);
  }
}

/** Ranges {start, end} cut to the text, without empty ones, in their order. */
export function ordered(ranges, length) {
  return ranges
    .map((range) => ({ ...range, start: Math.max(0, range.start), end: Math.min(length, range.end) }))
    .filter((range) => range.start < range.end)
    .sort((one, other) => one.start - other.start || one.end - other.end);
}

/** A number with at most so many digits behind the point. */
export function number(value, digits = 2) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** Milliseconds for people. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${number(ms / 1000, 1)} s`;
}

/** Where a passage stands: its document, page and section. */
export function place(item) {
  const page = item.page_number ? `, page ${item.page_number}` : "";
  return `${item.source_document}${page}`;
}
