// The phone: sound by WebRTC between this browser and its box, everything else over one JSON socket. No server of anybody else is asked.
const at = (name) => document.getElementById(name);
const words = at("phone").dataset;
let peer = null, microphone = null, waiting = null, bell = null;

const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/phone/socket`);
const ask = (what) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(what));
const say = (text) => { at("said").textContent = text; };

function show(state) {
  at("dial").hidden = state !== "none";
  at("coming").hidden = state !== "ring";
  at("going").hidden = state !== "call";
  document.body.dataset.phone = state;
}

function ring(on) {
  if (!on) { bell?.close(); bell = null; return; }
  if (bell) return;
  bell = new AudioContext();
  const tone = bell.createOscillator(), gain = bell.createGain();
  tone.frequency.value = 440;
  gain.gain.value = 0;
  for (let second = 0; second < 60; second += 4) { gain.gain.setValueAtTime(0.2, second); gain.gain.setValueAtTime(0, second + 1); }
  tone.connect(gain).connect(bell.destination);
  tone.start();
}

async function offer() {
  try {
    microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true }, video: false });
  } catch {
    say(words.microphone);
    return null;
  }
  peer = new RTCPeerConnection({ iceServers: [] });
  peer.ontrack = (event) => { at("heard").srcObject = event.streams[0] ?? new MediaStream([event.track]); };
  for (const track of microphone.getTracks()) peer.addTrack(track, microphone);
  await peer.setLocalDescription(await peer.createOffer());
  return peer.localDescription.sdp;
}

function over() {
  ring(false);
  peer?.close();
  microphone?.getTracks().forEach((track) => track.stop());
  peer = microphone = null;
  for (const name of ["mute", "hold"]) at(name).setAttribute("aria-pressed", "false");
  show("none");
}

async function call(to) {
  if (peer) return;
  const sdp = await offer();
  if (sdp === null) return;
  show("call");
  say(words.calling);
  ask({ do: "dial", to, sdp });
}

socket.onmessage = async (message) => {
  const told = JSON.parse(message.data);
  if (told.sdp) { await peer?.setRemoteDescription({ type: "answer", sdp: told.sdp }); return; }
  if (told.problem) { say(told.problem); over(); return; }
  switch (told.event) {
    case "registered": if (document.body.dataset.phone === undefined) { say(words.registered); show("none"); } at("call").disabled = at("echo").disabled = false; break;
    case "ring": say(`${words.ring} ${told.who}`); show("ring"); ring(true); break;
    case "ended": over(); say(words[told.why] ?? words.ended); break;
    case "text": { const row = document.createElement("li"); row.textContent = `${told.who}: ${told.text}`; at("texts").append(row); while (at("texts").children.length > 50) at("texts").firstChild.remove(); break; }
    case "text-sent": say(words.textSent); break;
    case "text-failed": say(words.textFailed); break;
    case "gone": over(); say(words.gone); break;
    default: if (told.event in words) say(words[told.event]);
  }
};
// 1008: refused, and why was said before.
socket.onclose = (event) => { over(); if (event.code !== 1008) say(words.gone); at("call").disabled = at("echo").disabled = true; };

at("dial").onsubmit = (event) => { event.preventDefault(); call(at("to").value.trim()); };
at("echo").onclick = () => call("*43");
at("answer").onclick = async () => {
  ring(false);
  const sdp = await offer();
  if (sdp === null) return;
  show("call");
  ask({ do: "answer", sdp });
};
at("decline").onclick = at("hang_up").onclick = () => { ring(false); ask({ do: "hang_up" }); };
for (const name of ["mute", "hold"]) {
  at(name).onclick = () => {
    const on = at(name).getAttribute("aria-pressed") !== "true";
    at(name).setAttribute("aria-pressed", String(on));
    // Muted here, where nobody hears it; the frames that go out are as many and as long.
    if (name === "mute") microphone?.getAudioTracks().forEach((track) => { track.enabled = !on; });
    else ask({ do: name, on });
  };
}
for (const key of document.querySelectorAll("[data-digit]")) key.onclick = () => ask({ do: "digit", digit: key.dataset.digit });
at("text").onsubmit = (event) => { event.preventDefault(); ask({ do: "text", to: at("text-to").value.trim(), text: at("text-said").value }); at("text-said").value = ""; };
