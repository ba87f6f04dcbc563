// The camera, on while its dialog is open.

import { note } from "./ask.js";
import { make, ui } from "./elements.js";

let stream = null;

const close = () => {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  ui.video.srcObject = null;
};

// `add` takes the files that it shoots.
export const open = async (add) => {
  const video = ui.video;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    return note("The camera could not be used: it is not allowed, or another program has it.");
  }
  ui.shoot.disabled = true;
  video.srcObject = stream;
  video.onloadeddata = () => (ui.shoot.disabled = false);
  ui.shoot.onclick = () => shoot(add);
  ui.cameraClose.onclick = () => ui.cameraDialog.close();
  ui.cameraDialog.onclose = close;
  ui.cameraDialog.showModal();
  video.play().catch(() => {});
};

const shoot = (add) => {
  const { video } = ui;
  const canvas = make("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  ui.cameraDialog.close();
  const name = `camera-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.jpg`;
  canvas.toBlob((blob) => add([new File([blob], name)]), "image/jpeg", 0.92);
};
