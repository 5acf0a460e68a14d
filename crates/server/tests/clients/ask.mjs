// Asks a server as people's own programs do, with the JavaScript clients that their makers publish.
//
//     node ask.mjs ADDRESS KEY FOLDER     (FOLDER: where the clients are installed; see package.json)

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [ADDRESS, KEY, FOLDER] = process.argv.slice(2);
const from = createRequire(pathToFileURL(path.join(path.resolve(FOLDER), "package.json")));
const { default: OpenAI, toFile } = from("openai");
const { Ollama } = from("ollama");
const [MODEL, EMBEDDER] = ["qwen3", "bert"];
const SAY = [{ role: "user", content: "Say something." }];
const PLACE = { type: "object", properties: { place: { enum: ["Ulm", "Bonn"] } }, required: ["place"], additionalProperties: false };
let tried = 0;

const ok = (holds, what) => {
  if (!holds) throw new Error(`not as it should be: ${JSON.stringify(what)}`);
  tried += 1;
};
const fails = async (ask) => {
  try {
    await ask();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was refused");
};

const askOpenAI = async () => {
  const client = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: KEY, maxRetries: 0 });
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  ok(names.includes(MODEL), names);
  const ask = { model: MODEL, messages: SAY, max_tokens: 10, temperature: 0 };
  const whole = await client.chat.completions.create(ask);
  const text = whole.choices[0].message.content;
  ok(whole.usage.completion_tokens === 10 && whole.usage.prompt_tokens_details.cached_tokens >= 0, whole);
  const parts = [];
  let usage;
  for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
    parts.push(chunk.choices[0]?.delta.content ?? "");
    usage = chunk.usage ?? usage;
  }
  ok(parts.join("") === text && usage.total_tokens === whole.usage.total_tokens, [parts, text, usage]);
  const tools = [{ type: "function", function: { name: "weather", description: "Tells it.", parameters: PLACE } }];
  const forced = { ...ask, max_tokens: 200, temperature: 1, seed: 4, tools, tool_choice: "required" };
  const [call] = (await client.chat.completions.create(forced)).choices[0].message.tool_calls;
  ok(["Ulm", "Bonn"].includes(JSON.parse(call.function.arguments).place), call);
  const stream = client.chat.completions.stream(forced);
  const [again] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
  ok(again.function.arguments === call.function.arguments, again);
  const form = { type: "json_schema", json_schema: { name: "place", strict: true, schema: PLACE } };
  const formed = await client.chat.completions.parse({ ...ask, max_tokens: 60, response_format: form });
  ok(["Ulm", "Bonn"].includes(formed.choices[0].message.parsed.place), formed);
  const answer = await client.responses.create({ model: MODEL, input: "Say something.", max_output_tokens: 10, temperature: 0 });
  ok(answer.output_text === text && answer.usage.input_tokens_details.cached_tokens >= 0, answer);
  const events = client.responses.stream({ model: MODEL, input: "Say something.", max_output_tokens: 10, temperature: 0 });
  const said = [];
  events.on("response.output_text.delta", (event) => said.push(event.delta));
  ok((await events.finalResponse()).output_text === text && said.join("") === text, said);
  const vectors = await client.embeddings.create({ model: EMBEDDER, input: ["a text", "another one"] });
  ok(vectors.data.length === 2 && vectors.data[0].embedding.length === vectors.data[1].embedding.length, vectors);
  const file = await client.files.create({ file: await toFile(Buffer.from("The rent is 400."), "rent.txt"), purpose: "user_data" });
  const read = [{ type: "input_file", file_id: file.id }, { type: "input_text", text: "What is the rent?" }];
  const about = await client.responses.create({ model: MODEL, input: [{ role: "user", content: read }], max_output_tokens: 3 });
  ok(about.usage.input_tokens > answer.usage.input_tokens, about);
  ok((await client.files.delete(file.id)).deleted, file);
  // Who leaves in the middle leaves nothing behind.
  const left = await client.chat.completions.create({ ...ask, max_tokens: 4000, temperature: 1, stream: true });
  for await (const chunk of left) {
    if (chunk.choices[0]?.delta.content) break;
  }
  left.controller.abort();
  const idle = async () => (await client.models.retrieve(MODEL)).users === 0;
  const until = Date.now() + 20_000;
  while (!(await idle()) && Date.now() < until) await new Promise((done) => setTimeout(done, 20));
  ok(await idle(), "after a hang-up");
  const refused = await fails(() => client.chat.completions.create({ ...ask, hue: 1 }));
  ok(refused instanceof OpenAI.BadRequestError && refused.param === "hue", refused);
  const nobody = await fails(() => client.chat.completions.create({ ...ask, model: "nobody" }));
  ok(nobody instanceof OpenAI.NotFoundError && nobody.code === "model_not_found", nobody);
};

const askOllama = async () => {
  const client = new Ollama({ host: ADDRESS, headers: { authorization: `Bearer ${KEY}` } });
  ok((await client.list()).models.some((model) => model.model === MODEL), "list");
  const ask = { model: MODEL, messages: SAY, options: { num_predict: 10, temperature: 0 } };
  const whole = await client.chat(ask);
  const parts = [];
  for await (const part of await client.chat({ ...ask, stream: true })) parts.push(part.message.content);
  ok(whole.eval_count === 10 && parts.join("") === whole.message.content, [whole, parts]);
  ok((await client.embed({ model: EMBEDDER, input: ["a", "b"] })).embeddings.length === 2, "embed");
  const long = await client.generate({ model: MODEL, prompt: "Say something.", stream: true, options: { num_predict: 4000, temperature: 1 } });
  const stopped = await fails(async () => {
    for await (const _ of long) long.abort();
  });
  ok(stopped.name === "AbortError", stopped);
};

await askOpenAI();
await askOllama();
console.log(`${tried} passed, 0 failed`);
