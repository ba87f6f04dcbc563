import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { InferenceClient } from "@huggingface/inference";

const [url, picture] = process.argv.slice(2);
const unit = (v) => Math.abs(Math.hypot(...v) - 1) < 1e-4;

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const model = (await openai.models.list()).data[0].id;
assert.equal((await openai.models.retrieve(model)).id, model);
const texts = await openai.embeddings.create({ model, input: ["red circle", "blue square"] });
assert.equal(texts.data.length, 2);
assert.ok(texts.data.every((row) => unit(row.embedding)));
const short = await openai.embeddings.create({ model, input: "red circle", dimensions: 8 });
assert.ok(short.data[0].embedding.length === 8 && unit(short.data[0].embedding));
const uri = "data:image/png;base64," + readFileSync(picture).toString("base64");
const image = await openai.embeddings.create({ model, input: [uri], modality: "image" });
assert.ok(unit(image.data[0].embedding));
await assert.rejects(openai.embeddings.create({ model: "another", input: "a" }), /unknown model/);

const endpoint = new InferenceClient("any").endpoint(url);
const blob = new Blob([readFileSync(picture)]);
const scores = await endpoint.zeroShotImageClassification({
  inputs: { image: blob },
  parameters: { candidate_labels: ["red circle", "blue square"] },
});
assert.equal(scores[0].label, "red circle");
assert.ok(Math.abs(scores.reduce((sum, row) => sum + row.score, 0) - 1) < 1e-5);
const rows = await endpoint.featureExtraction({ inputs: ["red circle", "blue square"] });
assert.ok(rows.length === 2 && rows.every(unit));
const cosines = await endpoint.sentenceSimilarity({
  inputs: { source_sentence: "red circle", sentences: ["red circle", "blue square"] },
});
assert.ok(Math.abs(cosines[0] - 1) < 1e-4 && cosines[1] < cosines[0]);
console.log("ok");
