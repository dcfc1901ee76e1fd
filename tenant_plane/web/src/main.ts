import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { choose, preferred } from "./lib/language.svelte";
import { startTheme } from "./lib/theme.svelte";

const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app");
startTheme();
await choose(preferred());
mount(App, { target });
