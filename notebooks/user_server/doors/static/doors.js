/* What somebody who opens JupyterLab for the first time needs: what this is, the ways into it, what
a GeoTIFF is that one double-clicks, and what to do with a map whose kernel is gone.

Written as it is loaded, without a build, as room.js beside it.
*/

(() => {
  const RUSSIAN = {
    "Geoportal: land-cover maps that your region can trust": "Геопортал: карты земного покрова, которым может доверять ваш регион",
    "Draw samples of what is where on a satellite scene, train a model on them, let it map the scene, and measure how right the map is.":
      "Нарисуйте на спутниковой сцене образцы того, что где есть, обучите по ним модель, классифицируйте сцену и измерьте, насколько верна карта.",
    "Start the course": "Начать курс",
    "Six pages, an hour: from the first sample to a measured map. Each cell runs with Shift+Enter.":
      "Шесть страниц, один час: от первого образца до измеренной карты. Ячейки выполняются клавишами Shift+Enter.",
    "Draw on a map": "Рисовать на карте",
    "A notebook with the demo scene; put the name of another scene into it.":
      "Блокнот с учебной сценой; впишите в него имя другой сцены.",
    "Jobs and processes": "Задания и процессы",
    "Run every step by a form, and see what runs and what came out.":
      "Выполнить любой шаг через форму, увидеть, что идёт и что получилось.",
    "Bring a scene": "Загрузить сцену",
    "From this computer or Nextcloud.": "С этого компьютера или из Nextcloud.",
    "How a scene gets in": "Как попадает сюда сцена",
    "Drag a GeoTIFF onto the list of files at the left, or choose it here:":
      "Перетащите GeoTIFF на список файлов слева или выберите здесь:",
    "With Nextcloud: put it into the folder Geoportal/home there; its name here is then home/NAME.":
      "С Nextcloud: положите её там в папку Geoportal/home; здесь она называется home/ИМЯ.",
    "What is no GeoTIFF yet (SAFE, archives, JPEG 2000, ENVI, netCDF) becomes one by the process Import scene; page 8 of the course shows how.":
      "Что ещё не GeoTIFF (SAFE, архивы, JPEG 2000, ENVI, netCDF), станет им с помощью процесса Import scene; как — показывает страница 8 курса.",
    "Large files, archives and folders (SAFE, Landsat): ": "Большие файлы, архивы и папки (SAFE, Landsat): ",
    "the page Upload": "страница Upload",
    ", which goes on where it was if the connection breaks.": " продолжает с того же места, если связь прервалась.",
    "A double click on the file then says what it is, and opens the map.":
      "Двойной щелчок по файлу скажет, что это, и откроет карту.",
    "Uploading {name} ...": "Загружается {name} ...",
    "{name} was not uploaded: {reason}": "{name} не загружен: {reason}",
    "A scene": "Сцена",
    "A map with classes": "Карта с классами",
    "Its name for all processes is {name}.": "Имя для всех процессов: {name}.",
    "Draw samples on it": "Рисовать на ней образцы",
    "Look at it on the map": "Посмотреть на карте",
    "This file cannot be shown: {reason}": "Файл не показать: {reason}",
    "## When each class has samples in five places or more": "## Когда у каждого класса есть образцы хотя бы в пяти местах",
    "Go on here, cell by cell, with Shift+Enter. Draw more whenever you like, and run these cells again.":
      "Продолжайте здесь, ячейка за ячейкой: Shift+Enter. Можно в любой момент дорисовать образцы и выполнить эти ячейки снова.",
    "## How right is the map?": "## Насколько верна карта?",
    "Points drawn at random on it tell, once each has the class that the scene shows there: click a point, then its class, or press the number of the class. What the map says is hidden, so that you are not led. Leave out where you cannot decide.":
      "Об этом скажут случайные точки, когда у каждой будет класс, который виден на сцене: щёлкните точку, затем её класс, или нажмите номер класса. Что говорит карта, не показано, чтобы не подсказывать. Где решить нельзя, оставьте точку без класса.",
    "## Share it with your team": "## Поделиться с командой",
    "Run this cell (Shift+Enter) to see it: what showed it before has ended.":
      "Выполните эту ячейку (Shift+Enter), чтобы увидеть карту: прежнее ядро завершилось.",
  };
  const LOST = "Error displaying widget: model not found"; // jupyterlab_widgets, when a kernel is another one
  const isRussian = (navigator.language || "en").startsWith("ru");

  let scope = {};

  const container = {
    init: (given) => {
      scope = given;
    },
    get: async () => {
      const names = ["@jupyterlab/launcher", "@jupyterlab/filebrowser", "@jupyterlab/docregistry", "@jupyterlab/ui-components", "@jupyterlab/services", "@lumino/widgets"];
      const [launcher, browser, registry, ui, services, widgets] = await Promise.all(names.map(provided));
      return () => ({ __esModule: true, default: pluginOf(launcher, browser, registry, ui, services, widgets) });
    },
  };

  async function provided(name) {
    const [module] = Object.values(scope[name]);
    return (await module.get())();
  }

  function pluginOf({ ILauncher }, { IDefaultFileBrowser }, registry, icons, { ServerConnection }, { Widget }) {
    return {
      id: "geoportal-doors:plugin",
      description: "Doors to course, map, jobs and upload; says what a GeoTIFF is",
      autoStart: true,
      optional: [ILauncher, IDefaultFileBrowser],
      activate: (app, launcher, browser) => {
        const doors = new Doors(app, browser, ServerConnection.makeRequest, Widget);
        doors.offer(launcher, icons);
        doors.openRasters(registry);
        document.head.append(style());
        explainLostMaps();
        app.restored.then(() => doors.welcome());
      },
    };
  }

  class Doors {
    constructor(app, browser, request, Widget) {
      [this.app, this.browser, this.request, this.Widget] = [app, browser, request, Widget];
    }

    /** The doors, as [command, icon, label, what is behind it, how it opens]. */
    get all() {
      return [
        ["course", "notebookIcon", t("Start the course"), t("Six pages, an hour: from the first sample to a measured map. Each cell runs with Shift+Enter."), () => this.open("course/01_draw_samples.ipynb")],
        ["map", "imageIcon", t("Draw on a map"), t("A notebook with the demo scene; put the name of another scene into it."), () => this.openMap("shared/demo/scene.tif", "scene")],
        ["jobs", "listIcon", t("Jobs and processes"), t("Run every step by a form, and see what runs and what came out."), () => window.open(this.jobs, "_blank")],
        ["upload", "fileUploadIcon", t("Bring a scene"), t("From this computer or Nextcloud."), () => this.show("geoportal-upload", t("Bring a scene"), this.uploading())],
      ];
    }

    get jobs() {
      const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
      return `${config.hubHost || ""}${(config.hubPrefix || "/hub/").replace(/hub\/$/, "")}services/wps/`;
    }

    offer(launcher, icons) {
      this.all.forEach(([name, icon, label, caption, execute], rank) => {
        const command = `geoportal:${name}`;
        this.app.commands.addCommand(command, { label, caption, icon: icons[icon], execute });
        launcher?.add({ command, category: "Geoportal", rank });
      });
    }

    /** Say what this is on the first screen; whoever has something open knows it. */
    welcome() {
      const shown = [...this.app.shell.widgets("main")];
      if (/\/tree\//.test(location.pathname) || shown.some((widget) => !widget.node.querySelector(".jp-Launcher"))) return;
      const doors = this.all.map(([, , label, caption, execute]) => {
        const door = make("button", { type: "button", class: "geoportal-door" }, [make("strong", {}, [label]), make("span", {}, [caption])]);
        door.onclick = () => execute();
        return door;
      });
      this.show("geoportal-welcome", "Geoportal", [
        make("h1", {}, [t("Geoportal: land-cover maps that your region can trust")]),
        make("p", {}, [t("Draw samples of what is where on a satellite scene, train a model on them, let it map the scene, and measure how right the map is.")]),
        make("div", { class: "geoportal-doors" }, doors),
        ...this.uploading(),
      ]);
    }

    uploading() {
      const choose = make("input", { type: "file", multiple: "", "aria-label": t("Bring a scene") });
      const said = make("p", { role: "status" });
      choose.onchange = () => this.upload([...choose.files], said);
      return [
        make("h2", {}, [t("How a scene gets in")]),
        make("p", {}, [t("Drag a GeoTIFF onto the list of files at the left, or choose it here:"), " ", choose]),
        said,
        make("p", {}, [t("With Nextcloud: put it into the folder Geoportal/home there; its name here is then home/NAME.")]),
        make("p", {}, [
          t("Large files, archives and folders (SAFE, Landsat): "),
          make("a", { href: `${this.jobs}upload`, target: "_blank" }, [t("the page Upload")]),
          t(", which goes on where it was if the connection breaks."),
        ]),
        make("p", {}, [t("What is no GeoTIFF yet (SAFE, archives, JPEG 2000, ENVI, netCDF) becomes one by the process Import scene; page 8 of the course shows how.")]),
        make("p", {}, [t("A double click on the file then says what it is, and opens the map.")]),
      ];
    }

    async upload(files, said) {
      await this.browser.model.cd("/");
      for (const file of files) {
        said.textContent = t("Uploading {name} ...", { name: file.name });
        try {
          const { path } = await this.browser.model.upload(file);
          said.textContent = "";
          if (/\.tiff?$/i.test(path)) await this.open(path);
        } catch (error) {
          said.textContent = t("{name} was not uploaded: {reason}", { name: file.name, reason: error.message ?? error });
          return;
        }
      }
    }

    show(id, title, children) {
      let page = [...this.app.shell.widgets("main")].find((widget) => widget.id === id);
      if (!page) {
        page = new this.Widget();
        page.id = id;
        page.title.label = title;
        page.title.closable = true;
        page.node.append(make("div", { class: "geoportal-page" }, children));
        this.app.shell.add(page, "main");
      }
      this.app.shell.activateById(id);
    }

    open(path, factory) {
      return this.app.commands.execute("docmanager:open", { path, ...(factory && { factory }) });
    }

    /** The first team of the user; who has none is told so by the cell that shares. */
    async team() {
      const found = await this.app.serviceManager.contents.get("team").catch(() => null);
      return found?.content?.find((entry) => entry.type === "directory")?.name ?? "practice";
    }

    /** Open a notebook with a raster on the map, and run its first cell; one that is there is left as it is. */
    async openMap(name, kind) {
      const stem = name.split("/").pop().replace(/\.tiff?$/i, "");
      const path = `map of ${name.split("/").slice(1, -1).concat(stem).join(" ")}.ipynb`;
      const { contents } = this.app.serviceManager;
      const isThere = await contents.get(path, { content: false }).then(() => true, () => false);
      if (!isThere) await contents.save(path, { type: "notebook", format: "json", content: notebook(name, kind, await this.team()) });
      const panel = await this.open(path, "Notebook");
      await panel.context.ready;
      await panel.sessionContext.ready;
      panel.content.activeCellIndex = 0; // what comes below needs samples first
      await this.app.commands.execute("notebook:run-cell");
    }

    /** Say of a GeoTIFF what it is, in the place of an image that no browser shows. */
    openRasters({ ABCWidgetFactory, DocumentWidget }) {
      const drive = this.app.serviceManager.contents.defaultDrive;
      // a scene is never sent to the browser as a whole
      drive.contentProviderRegistry.register("geoportal-raster", {
        get: (path, options) => drive.get(path, { ...options, contentProviderId: undefined, content: false }),
        save: () => Promise.reject(new Error("a raster is not edited here")),
      });
      const doors = this;
      class Rasters extends ABCWidgetFactory {
        createNewWidget(context) {
          const content = new doors.Widget();
          content.node.append(make("div", { class: "geoportal-page" }, ["..."]));
          doors.look(context.path, content.node.lastChild);
          return new DocumentWidget({ content, context });
        }
      }
      this.app.docRegistry.addWidgetFactory(new Rasters({
        name: "Geoportal raster", modelName: "base64", fileTypes: ["tiff"], defaultFor: ["tiff"], readOnly: true,
        contentProviderId: "geoportal-raster",
      }));
    }

    async look(path, page) {
      const name = /^(shared|team)\//.test(path) ? path : `home/${path}`;
      const settings = this.app.serviceManager.serverSettings;
      const { baseUrl } = settings;
      const query = new URLSearchParams({ name, language: isRussian ? "ru" : "en" });
      const answer = await this.request(`${baseUrl}sample_map/look?${query}`, {}, settings);
      const told = await answer.json().catch(() => ({}));
      if (!answer.ok) {
        page.replaceChildren(make("h1", {}, [path]), make("p", {}, [t("This file cannot be shown: {reason}", { reason: told.message ?? answer.statusText })]));
        return;
      }
      const open = make("button", { type: "button", class: "geoportal-open" }, [told.kind === "map" ? t("Look at it on the map") : t("Draw samples on it")]);
      open.onclick = () => this.openMap(name, told.kind);
      page.replaceChildren(
        make("h1", {}, [`${told.kind === "map" ? t("A map with classes") : t("A scene")}: ${path.split("/").pop()}`]),
        ...(told.has_place ? [open] : []),
        make("div", { class: "geoportal-legend" }, told.classes.map(([label, color]) => make("span", {}, [make("i", { style: `background:${color}` }), label]))),
        make("p", {}, [make("img", { src: `${baseUrl}sample_map/picture.png?${query}`, alt: "" })]),
        ...told.facts.map((fact) => make("p", {}, [fact])),
        make("p", {}, [t("Its name for all processes is {name}.", { name })]),
      );
    }
  }

  function notebook(name, kind, team) {
    const quoted = JSON.stringify(name);
    return {
      cells: kind === "map"
        ? [code("map", mapOf(`${quoted}, legend=${quoted}`))]
        : [code("map", mapOf(quoted, "# give the classes of your legend, or add them beside the map")), ...steps(name, team)],
      metadata: { kernelspec: { name: "python3", display_name: "Python 3", language: "python" } },
      nbformat: 4,
      nbformat_minor: 5,
    };
  }

  function mapOf(given, hint) {
    return ["from sample_map import SampleMap", "", ...(hint ? [hint] : []), `m = SampleMap(${given})`, "m"].join("\n");
  }

  /** The way from samples that somebody has drawn to a map that is measured and shared. */
  function steps(name, team) {
    const stem = name.split("/").slice(1).join("-").replace(/\.tiff?$/i, "");
    return [
      words("then", [t("## When each class has samples in five places or more"), t("Go on here, cell by cell, with Shift+Enter. Draw more whenever you like, and run these cells again.")]),
      code("train", `from landcover import extract_samples, train_classifier

work = ${JSON.stringify(`home/maps/${stem}`)}
extraction = extract_samples(
    scene=m.scene, labels=m.file, legend=m.file, workdir=f"{work}/samples"
)
training = train_classifier(samples=extraction.samples, workdir=f"{work}/model")
print(f"right in places it has not seen: {training.accuracy:.0%}")`),
      code("classify", `from landcover import classify_scene

made = classify_scene(scene=m.scene, model=training.model, workdir=f"{work}/map")
SampleMap(f"{work}/map/map.tif", legend=f"{work}/map/map.tif", name=${JSON.stringify(`${stem}-map`)})`),
      words("how", [t("## How right is the map?"), t("Points drawn at random on it tell, once each has the class that the scene shows there: click a point, then its class, or press the number of the class. What the map says is hidden, so that you are not led. Leave out where you cannot decide.")]),
      code("points", `import geopandas

from landcover import draw_reference_sample

drawn = draw_reference_sample(map=made.map, per_class=10, workdir=f"{work}/points")
points = SampleMap(m.scene, legend=m.file, name=${JSON.stringify(`${stem}-points`)})
if points.samples.empty:
    points.add(geopandas.read_file(drawn.points))
points`),
      code("assess", `from landcover import assess_quality

assessment = assess_quality(
    map=made.map, reference=points.file, design="stratified", workdir=f"{work}/quality"
)
print(f"{assessment.accuracy:.0%} of the map is right; the report: {work}/quality/report.html")`),
      words("share", [t("## Share it with your team")]),
      code("share", `from landcover.storage import share

print(share(f"{work}/map/map.tif", group=${JSON.stringify(team)}))`),
    ];
  }

  function code(id, source) {
    return { cell_type: "code", id, source, metadata: {}, outputs: [], execution_count: null };
  }

  function words(id, paragraphs) {
    return { cell_type: "markdown", id, source: paragraphs.join("\n\n"), metadata: {} };
  }

  /** Say what to do in the place of an error that nobody understands. */
  function explainLostMaps() {
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const node of addedNodes) {
          if (node.nodeType === Node.TEXT_NODE && node.data === LOST) node.data = t("Run this cell (Shift+Enter) to see it: what showed it before has ended.");
        }
      }
    }).observe(document.body, { childList: true, subtree: true });
  }

  function t(text, values = {}) {
    const found = (isRussian && RUSSIAN[text]) || text;
    return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  }

  function make(tag, attributes = {}, children = []) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function style() {
    return make("style", {}, [`
      .geoportal-page { height: 100%; overflow: auto; box-sizing: border-box; padding: 1em 2em; max-width: 62em; font-size: 14px; line-height: 1.5; color: var(--jp-ui-font-color1); background: var(--jp-layout-color1); }
      .geoportal-page h1 { font-size: 1.5em; margin: 0.4em 0; } .geoportal-page h2 { font-size: 1.15em; margin: 1em 0 0.3em; } .geoportal-page p { margin: 0.4em 0; }
      /* the launcher knows an order of its own */
      .jp-Launcher-content { display: flex; flex-direction: column; } .jp-Launcher-section:has([data-category="Geoportal"]) { order: -1; }
      .geoportal-doors { display: grid; grid-template-columns: repeat(auto-fit, minmax(11em, 1fr)); gap: 0.8em; margin: 1em 0; }
      .geoportal-door, .geoportal-open { font: inherit; color: inherit; text-align: left; padding: 0.8em 1em; border: 1px solid var(--jp-border-color1); border-radius: 6px; background: var(--jp-layout-color2); cursor: pointer; display: flex; flex-direction: column; gap: 0.3em; }
      .geoportal-door:hover, .geoportal-open:hover { border-color: var(--jp-brand-color1); } .geoportal-open { font-weight: 600; margin: 0.6em 0; }
      .geoportal-page img { max-width: 100%; background: #e8e8e4; image-rendering: pixelated; }
      .geoportal-legend { display: flex; flex-wrap: wrap; gap: 0.3em 1em; } .geoportal-legend i { display: inline-block; width: 1em; height: 1em; margin-right: 0.4em; border: 1px solid #0006; vertical-align: -0.15em; }
    `]);
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["geoportal-doors"] = container;
})();
