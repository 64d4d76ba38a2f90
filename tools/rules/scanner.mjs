// Splits TypeScript or JavaScript source into code, strings and comments, so that the rules look at code only and see
// every import as it is. Not a parser: it knows where literals begin and end, nothing about grammar, which takes a few
// hundred lines less and is enough for rules about names and module specifiers.
//
// Guarantees: `code` has the length of the source and the same line breaks; everything in it that is not code (comments,
// the insides of strings, templates and regular expressions) is blank. The expressions inside `${}` are code.

/**
 * @typedef {object} StringLiteral
 * @property {number} start Offset of the opening quote.
 * @property {number} end Offset after the closing quote.
 * @property {string} value The text between the quotes, escapes not resolved.
 *
 * @typedef {object} Comment
 * @property {number} start
 * @property {string} text Delimiters included.
 *
 * @typedef {object} Scan
 * @property {string} code
 * @property {readonly StringLiteral[]} strings In order; templates without `${}` count as strings.
 * @property {readonly Comment[]} comments
 */

/** Words after which a slash begins a regular expression, as it does after an operator. */
const wordsBeforeRegex = new Set(
  'await case delete do else in instanceof new of return throw typeof void yield'.split(' '),
);

/**
 * @param {string} source
 * @returns {Scan}
 */
export function scan(source) {
  return new Scanner(source).run();
}

/**
 * Line of an offset, counted from 1.
 * @param {string} source
 * @param {number} offset
 */
export function lineAt(source, offset) {
  let line = 1;
  for (let at = source.indexOf('\n'); at >= 0 && at < offset; at = source.indexOf('\n', at + 1)) {
    line++;
  }
  return line;
}

class Scanner {
  /** @type {string} */
  #source;
  #at = 0;
  /** @type {string[]} Pieces of `code`. */
  #pieces = [];
  /** @type {StringLiteral[]} */
  #strings = [];
  /** @type {Comment[]} */
  #comments = [];
  /** The last piece of code that is not blank, as far as telling a division from a regular expression needs it. */
  #lastToken = '';

  /** @param {string} source */
  constructor(source) {
    this.#source = source;
  }

  /** @returns {Scan} */
  run() {
    if (this.#source.startsWith('#!')) this.#comment(this.#endOfLine());
    this.#codeUntilBrace(false);
    return { code: this.#pieces.join(''), strings: this.#strings, comments: this.#comments };
  }

  /**
   * Code up to the end of the source, or, inside `${}`, to the brace that closes it.
   * @param {boolean} insideTemplate
   */
  #codeUntilBrace(insideTemplate) {
    let depth = 0;
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at);
      const next = this.#source.charAt(this.#at + 1);
      if (char === '/' && next === '/') this.#comment(this.#endOfLine());
      else if (char === '/' && next === '*') this.#comment(this.#endOf('*/', this.#at + 2));
      else if (char === "'" || char === '"') this.#string(char);
      else if (char === '`') this.#template();
      else if (char === '/' && this.#regexMayBegin()) this.#regex();
      else {
        if (char === '{') depth++;
        if (char === '}' && insideTemplate && depth-- === 0) return;
        this.#token();
      }
    }
  }

  /** One word or one other character of code. */
  #token() {
    const word = /[\w$\u0080-\uffff]+/uy;
    word.lastIndex = this.#at;
    const text = word.exec(this.#source)?.[0] ?? this.#source.charAt(this.#at);
    if (text.trim() !== '') this.#lastToken = text;
    this.#keep(this.#at + text.length);
  }

  #regexMayBegin() {
    const token = this.#lastToken;
    if (wordsBeforeRegex.has(token)) return true;
    return !/[\w$)\]}"'`\u0080-\uffff]$/u.test(token);
  }

  #regex() {
    const start = this.#at;
    let inClass = false;
    let at = start + 1;
    for (; at < this.#source.length; at++) {
      const char = this.#source.charAt(at);
      if (char === '\\') at++;
      else if (char === '[') inClass = true;
      else if (char === ']') inClass = false;
      else if (char === '\n' || (char === '/' && !inClass)) break;
    }
    this.#literal(start, at + 1);
  }

  /** @param {string} quote */
  #string(quote) {
    const start = this.#at;
    let at = start + 1;
    for (; at < this.#source.length; at++) {
      const char = this.#source.charAt(at);
      if (char === '\\') at++;
      else if (char === quote || char === '\n') break;
    }
    this.#strings.push({ start, end: at + 1, value: this.#source.slice(start + 1, at) });
    this.#literal(start, at + 1);
  }

  #template() {
    const start = this.#at;
    let partStart = start;
    let whole = true;
    let at = start + 1;
    for (; at < this.#source.length; at++) {
      const char = this.#source.charAt(at);
      if (char === '\\') at++;
      else if (char === '`') break;
      else if (char === '$' && this.#source.charAt(at + 1) === '{') {
        whole = false;
        this.#literal(partStart, at + 2);
        this.#lastToken = '{';
        this.#codeUntilBrace(true);
        partStart = this.#at;
        at = this.#at;
      }
    }
    if (whole) {
      this.#strings.push({ start, end: at + 1, value: this.#source.slice(start + 1, at) });
    }
    this.#literal(partStart, at + 1);
  }

  /**
   * A literal's range: its first and last character stay, what is between becomes blank.
   * @param {number} start
   * @param {number} end
   */
  #literal(start, end) {
    this.#keep(start + 1);
    this.#blank(Math.min(end, this.#source.length) - 1);
    this.#keep(Math.min(end, this.#source.length));
    this.#lastToken = '"';
  }

  /** @param {number} end */
  #comment(end) {
    this.#comments.push({ start: this.#at, text: this.#source.slice(this.#at, end) });
    this.#blank(end);
  }

  /** @param {number} end */
  #keep(end) {
    if (end <= this.#at) return;
    this.#pieces.push(this.#source.slice(this.#at, end));
    this.#at = end;
  }

  /** @param {number} end */
  #blank(end) {
    if (end <= this.#at) return;
    this.#pieces.push(this.#source.slice(this.#at, end).replace(/[^\n]/g, ' '));
    this.#at = end;
  }

  #endOfLine() {
    const end = this.#source.indexOf('\n', this.#at);
    return end < 0 ? this.#source.length : end;
  }

  /**
   * @param {string} mark
   * @param {number} from
   */
  #endOf(mark, from) {
    const end = this.#source.indexOf(mark, from);
    return end < 0 ? this.#source.length : end + mark.length;
  }
}
