// What every part of the panel shares: the panel itself, its words, and the kernel.

export class Part {
  constructor(panel) {
    this.panel = panel;
  }

  t(text, values) {
    return this.panel.words.t(text, values);
  }

  ask(verb, content, ghost) {
    return this.panel.kernel.ask(verb, content, ghost);
  }
}
