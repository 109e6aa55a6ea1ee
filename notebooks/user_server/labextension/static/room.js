/* A banner over JupyterLab when the home directory is nearly full, with what takes most room.

Written as it is loaded, without a build: JupyterLab asks a container for its plugins by the names
`init` and `get` (module federation), and gives it its own libraries in a scope. Only the
application object and Lumino's Widget are used, which all of JupyterLab 4 has.
*/

(() => {
  const NEARLY = 0.9; // as in room.py
  const OFTEN = 60_000; // ms, while the banner is there
  const SELDOM = 300_000; // ms, otherwise

  let scope = {};

  const container = {
    init: (given) => {
      scope = given;
    },
    get: async () => () => ({ __esModule: true, default: plugin }),
  };

  const plugin = {
    id: "geoportal-room:banner",
    description: "Says when the home directory is nearly full, and with what",
    autoStart: true,
    activate: (app) => {
      // JupyterLab waits for this function before it restores anything
      app.restored.then(async () => new Banner(app, await widgetClass()).watch());
    },
  };

  async function widgetClass() {
    const [provided] = Object.values(scope["@lumino/widgets"]);
    return (await provided.get())().Widget;
  }

  class Banner {
    constructor(app, Widget) {
      this.app = app;
      this.widget = new Widget();
      this.widget.id = "geoportal-room";
      this.widget.node.setAttribute("role", "status");
      this.text = document.createElement("div");
      Object.assign(this.text.style, {
        background: "var(--jp-warn-color3)",
        borderBottom: "var(--jp-border-width) solid var(--jp-warn-color1)",
        color: "var(--jp-ui-font-color1)",
        fontSize: "var(--jp-ui-font-size1)",
        lineHeight: "1.5",
        padding: "0.5em 1em",
      });
      this.widget.node.append(this.text);
      // the page is laid out anew whenever the text takes another number of lines
      new ResizeObserver(() => this.fit()).observe(this.text);
      this.isClosed = false;
    }

    async watch() {
      const room = await this.ask();
      const isShown = room !== null && room.share >= NEARLY && !this.isClosed;
      if (isShown) this.show(room);
      else if (this.widget.isAttached) this.widget.hide();
      window.setTimeout(() => this.watch(), isShown ? OFTEN : SELDOM);
    }

    async ask() {
      const { baseUrl, init, token } = this.app.serviceManager.serverSettings;
      const headers = token ? { Authorization: `token ${token}` } : {};
      try {
        const answer = await fetch(`${baseUrl}geoportal/room`, { ...init, headers });
        return answer.ok ? await answer.json() : null;
      } catch {
        return null; // the server restarts, or the network is away: asked again later
      }
    }

    show(room) {
      this.text.replaceChildren(...this.sentence(room), this.closing());
      if (!this.widget.isAttached) this.app.shell.add(this.widget, "header", { rank: 0 });
      this.widget.show();
    }

    fit() {
      this.widget.node.style.minHeight = `${this.text.offsetHeight}px`;
      this.widget.parent?.fit();
    }

    sentence(room) {
      const strong = document.createElement("strong");
      const whose = room.limit === "quota" ? "Your home directory" : "The disk of your home directory";
      // 99.6 % is not full
      const percent = Math.floor(100 * room.share);
      strong.textContent = `${whose} is ${percent} % full: ${inWords(room.used)} of ${inWords(room.allowed)}.`;
      const parts = [strong];
      if (room.biggest.length) parts.push(" Most room is taken by ");
      room.biggest.forEach((place, i) => {
        if (i) parts.push(", ");
        parts.push(this.link(place), ` ${inWords(place.size)}`);
      });
      parts.push(
        room.biggest.length ? ". " : " ",
        "Delete what you do not need; what is deleted here is gone at once.",
      );
      return parts;
    }

    link(place) {
      const name = place.is_folder ? `${place.name}/` : place.name;
      if (place.path === null) return name; // the file browser does not show it
      const link = document.createElement("a");
      link.textContent = name;
      link.href = "#";
      link.style.textDecoration = "underline";
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.app.commands.execute("filebrowser:go-to-path", { path: place.path });
      });
      return link;
    }

    closing() {
      const button = document.createElement("button");
      button.textContent = "×";
      button.title = "Close until this page is loaded again";
      button.setAttribute("aria-label", button.title);
      Object.assign(button.style, { marginLeft: "1em", cursor: "pointer" });
      button.addEventListener("click", () => {
        this.isClosed = true;
        this.widget.hide();
      });
      return button;
    }
  }

  function inWords(bytes) {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let value = bytes;
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
      value /= 1024;
      unit += 1;
    }
    return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["geoportal-room"] = container;
})();
