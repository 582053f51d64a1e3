"use strict";
// Every two seconds the parts that change are taken from a fresh copy of this page.
const PARTS = ["status", "streams"];

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set([...document.querySelectorAll("details[open]")].map((d) => d.id));
      for (const part of PARTS) {
        const [old, anew] = [document.getElementById(part), fresh.getElementById(part)];
        for (const d of anew.querySelectorAll("details")) d.open = open.has(d.id);
        if (old.innerHTML !== anew.innerHTML) old.innerHTML = anew.innerHTML;
      }
      document.body.classList.remove("lost");
    } catch {
      document.body.classList.add("lost");
    }
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
