"use strict";
// Talks with one person of this service over WebRTC. Nothing is asked of any other server.
const part = (id) => document.getElementById(id);
let connection = null;
let channel = null;
let microphone = null;

function tell(text, wrong = false) {
  part("status").textContent = text;
  part("status").classList.toggle("wrong", wrong);
}

async function ask(method, path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const token = part("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const said = await reply.json();
  if (!reply.ok) throw new Error(said.error || JSON.stringify(said.detail || said));
  return said;
}

async function listPeople() {
  const people = (await ask("GET", "/v1/subjects")).filter((one) => one.trained && one.state === "ready");
  part("person").replaceChildren(...people.map((one) => new Option(one.name, one.name)));
  part("start").disabled = people.length === 0;
  tell(people.length ? "" : "Nobody was learned yet: learn a person first.");
}

function gathered(peer) {
  return new Promise((done) => {
    const look = () => peer.iceGatheringState === "complete" && done();
    peer.addEventListener("icegatheringstatechange", look);
    look();
  });
}

function hear(message) {
  const said = JSON.parse(message.data);
  if (said.error) tell(said.error, true);
  if (said.saying) tell(`Says: ${said.saying}`);
  if ("interrupted" in said) tell("Interrupted.");
  if ("latency" in said && said.latency !== null) {
    part("pace").textContent =
      `Latency ${Math.round(1000 * said.latency)} ms, 95 % within ${Math.round(1000 * said.latency95)} ms; ` +
      `${said.waiting.toFixed(1)} s wait to be said`;
  }
}

async function start() {
  const spoken = document.querySelector("input[name=input]:checked").value === "microphone";
  part("start").disabled = true;
  tell("Starting ...");
  connection = new RTCPeerConnection({ iceServers: [] });
  const peer = connection;
  if (spoken) {
    if (!navigator.mediaDevices) throw new Error("The browser gives the microphone to HTTPS pages and to this machine alone.");
    microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
    microphone.getTracks().forEach((track) => peer.addTrack(track, microphone));
  } else {
    peer.addTransceiver("audio", { direction: "recvonly" });
  }
  peer.addTransceiver("video", { direction: "recvonly" });
  channel = peer.createDataChannel("speech2lip");
  channel.addEventListener("message", hear);
  const shown = new MediaStream();
  peer.addEventListener("track", (event) => {
    shown.addTrack(event.track);
    part("face").srcObject = shown;
  });
  peer.addEventListener("connectionstatechange", () => {
    if (peer.connectionState === "connected") tell("Connected.");
    if (["failed", "closed", "disconnected"].includes(peer.connectionState) && connection === peer) end("The conversation is over.");
  });
  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer);
  const answer = await ask("POST", "/v1/live", { name: part("person").value, sdp: peer.localDescription.sdp });
  await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  part("setup").hidden = true;
  part("stage").hidden = false;
  part("typing").hidden = spoken;
}

function end(text) {
  if (connection) connection.close();
  if (microphone) microphone.getTracks().forEach((track) => track.stop());
  connection = channel = microphone = null;
  part("face").srcObject = null;
  part("setup").hidden = false;
  part("stage").hidden = true;
  part("start").disabled = false;
  part("pace").textContent = "";
  if (text) tell(text);
}

function wish(said) {
  if (channel && channel.readyState === "open") channel.send(JSON.stringify(said));
  else tell("Not connected yet.", true);
}

part("setup").addEventListener("submit", (event) => {
  event.preventDefault();
  start().catch((error) => {
    end("");
    tell(error.message, true);
  });
});
part("typing").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = part("text").value.trim();
  if (text) wish({ say: text });
  part("text").value = "";
});
part("interrupt").addEventListener("click", () => wish({ interrupt: true }));
part("stop").addEventListener("click", () => end("Ended."));
part("token").addEventListener("change", () => listPeople().catch((error) => tell(error.message, true)));
window.addEventListener("pagehide", () => connection && connection.close());
listPeople().catch((error) => tell(error.message, true));
