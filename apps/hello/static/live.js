"use strict";
// What arrives is shown as text: none of it becomes markup.

const show = (id, text) => {
  document.getElementById(id).textContent = text;
};

const listen = () => {
  const events = new EventSource("/events");
  events.onmessage = (message) => {
    const tick = JSON.parse(message.data);
    show("events", `tick ${tick.count}`);
    show("events-note", `from ${tick.host}, worker ${tick.pid}`);
  };
  events.onerror = () => {
    // It comes back by itself after the end of a stream, but not after an error page.
    if (events.readyState === EventSource.CLOSED) {
      show("events-note", "interrupted, trying again");
      setTimeout(listen, 2000);
    }
  };
};

const say = document.getElementById("say");

const connect = () => {
  let where = "";
  let sent = 0;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws`);
  const send = (text) => {
    sent = performance.now();
    socket.send(text);
  };
  socket.onmessage = (message) => {
    if (!where) {
      const greeting = JSON.parse(message.data);
      where = `from ${greeting.host}, worker ${greeting.pid}`;
      say.querySelector("button").disabled = false;
      send("hello");
      return;
    }
    show("socket", message.data);
    show("socket-note", `echoed ${where} in ${(performance.now() - sent).toFixed(1)} ms`);
  };
  socket.onclose = () => {
    say.querySelector("button").disabled = true;
    show("socket-note", "interrupted, trying again");
    setTimeout(connect, 2000);
  };
  say.onsubmit = (submit) => {
    submit.preventDefault();
    if (socket.readyState === WebSocket.OPEN) {
      send(say.elements.message.value);
      say.reset();
    }
  };
};

say.hidden = false;
listen();
connect();
