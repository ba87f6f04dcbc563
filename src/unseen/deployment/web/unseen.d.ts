export interface Answer {
  label: string;
  /** From 0 to 1. */
  probability: number;
  /** Only where a picture may have several labels: whether this is one of them. */
  yes?: boolean;
}

/** Every label, the most probable first. */
export type Answers = Answer[] & {
  /** Only where the classifier was exported with `--unknown auto`: how much speaks for any label. */
  evidence?: number;
  /** Whether that is too little: the picture shows none of the labels. */
  unknown?: boolean;
  /** Only where it was exported with `--with-embedding`: of the picture, of length 1. */
  embedding?: Float32Array;
};

export type Picture =
  | Blob
  | ImageData
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | HTMLVideoElement
  | OffscreenCanvas;

export interface Classifier {
  readonly labels: string[];
  /** classifier.json: model, licence, labels, sizes. */
  readonly facts: Record<string, unknown>;
  readonly threads: number;
  readonly provider: "wasm" | "webgpu";
  /** Why WebGPU is not used, where the classifier was exported for it. */
  readonly refused?: string;
  classify(picture: Picture): Promise<Answers>;
  /** Runs the self-test again; throws where it fails. */
  test(): Promise<void>;
}

export interface LoadOptions {
  /** Called with the bytes that have come, and of how many. */
  onProgress?: (done: number, total: number) => void;
  /** Of WebAssembly; by default one, or more where that was quicker on this device. */
  threads?: number;
  /** False: never WebGPU, also where the classifier was exported with `--webgpu`. */
  webgpu?: boolean;
}

/** Loads the classifier of a folder, and tests it. */
export function load(base?: string, options?: LoadOptions): Promise<Classifier>;
