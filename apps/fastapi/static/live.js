// What comes from the host by itself, and what comes back from it.
const show = (id, text) => { document.getElementById(id).textContent = text; };

const events = new EventSource("/events");
events.onmessage = ({ data }) => {
  const { count, host } = JSON.parse(data);
  show("events", `Event ${count} from ${host}`);
};

const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/ws`);
socket.onmessage = ({ data }) => show("socket", data);
socket.onclose = () => show("socket", "closed");
