/** A React component that begins something when it is mounted and stops it when it is unmounted, as React's manual says. */

import { createElement, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

/**
 * Mounts it in StrictMode. Resolves when everything that was begun has ended: how often it was mounted, what the page
 * shows, and what each one came to.
 */
export function mount(begin) {
  const place = document.body.appendChild(document.createElement("div"));
  const root = createRoot(place);
  return new Promise((resolve) => {
    let mounts = 0;
    const statuses = [];
    function Output() {
      const [text, setText] = useState("");
      const [ended, setEnded] = useState(0);
      useEffect(() => {
        const at = mounts++;
        const controller = new AbortController();
        begin(controller.signal, (more) => setText((before) => before + more)).then(({ status }) => {
          statuses[at] = status;
          setEnded((before) => before + 1);
        });
        return () => controller.abort();
      }, []);
      useEffect(() => {
        if (ended === mounts) {
          resolve({ mounts, text: place.textContent, statuses });
        }
      }, [ended]);
      return createElement("pre", null, text);
    }
    root.render(createElement(StrictMode, null, createElement(Output)));
  });
}
