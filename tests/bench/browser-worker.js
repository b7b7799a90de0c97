// The SDK in a worker: the page gets what has come since its last message, as one string.
import { Session } from "/sdk/index.js";

onmessage = async ({ data: { access, code } }) => {
  let [texts, chunks, waits] = [[], 0, false];
  const channel = new MessageChannel();
  const post = () => {
    waits = false;
    postMessage({ text: texts.join(""), chunks });
    [texts, chunks] = [[], 0];
  };
  channel.port1.onmessage = post;
  const onStdout = (chunk) => {
    texts.push(chunk);
    chunks += 1;
    if (!waits) {
      waits = true;
      channel.port2.postMessage(null); // after what the browser has ready now
    }
  };
  const result = await Session.attach(access).code.run(code, "python", 600, { onStdout, logLimit: 1 << 30 });
  post();
  postMessage({ ended: true, errorMessage: result.errorMessage });
};
