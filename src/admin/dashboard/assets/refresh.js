// Asks again, while somebody looks: every few seconds, less often while it fails, never while the page is hidden.

const EVERY_MS = 4000;
/** After a change its outcome is awaited: so many times, and so soon. */
const SOON_MS = 600;
const SOON_TIMES = 3;
const EVERY_MS_MAX = 60_000;

/** Calls `task` again and again. A task gives a promise; a rejected one makes the next wait twice as long. */
export class Refresher {
  #task;
  #timer = 0;
  #wait = EVERY_MS;
  #runs = false;
  #again = false;
  #soon = 0;

  constructor(task) {
    this.#task = task;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.now()));
  }

  /** Calls it after the usual wait. What was awaited before is not any more. */
  start() {
    this.#wait = EVERY_MS;
    this.#soon = 0;
    this.#next();
  }

  /** Calls it at once and soon again: something was changed. */
  soon() {
    this.#soon = SOON_TIMES;
    return this.now();
  }

  /** Calls it at once, and then after the usual wait. */
  async now() {
    this.#stop();
    // What runs may have asked before the change that this call is about.
    this.#again = this.#runs;
    if (this.#runs) return;
    this.#runs = true;
    try {
      await this.#task();
      this.#wait = EVERY_MS;
    } catch {
      this.#wait = Math.min(this.#wait * 2, EVERY_MS_MAX);
    } finally {
      this.#runs = false;
      if (this.#again) this.now();
      else this.#next();
    }
  }

  #next() {
    this.#stop();
    if (document.hidden) return;
    const wait = this.#soon > 0 && this.#wait === EVERY_MS ? SOON_MS : this.#wait;
    this.#soon = Math.max(0, this.#soon - 1);
    this.#timer = setTimeout(() => this.now(), wait);
  }

  #stop() {
    clearTimeout(this.#timer);
  }
}
