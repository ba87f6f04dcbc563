export interface Answer {
  label: string;
  /** From 0 to 1. */
  probability: number;
  /** Only where a picture may have several labels: whether this is one of them. */
  yes?: boolean;
}

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
  /** Every label, the most probable first. */
  classify(picture: Picture): Promise<Answer[]>;
  /** Runs the self-test again; throws where it fails. */
  test(): Promise<void>;
}

export interface LoadOptions {
  /** Called with the bytes that have come, and of how many. */
  onProgress?: (done: number, total: number) => void;
  /** Of WebAssembly; by default one, or more where that was quicker on this device. */
  threads?: number;
}

/** Loads the classifier of a folder, and tests it. */
export function load(base?: string, options?: LoadOptions): Promise<Classifier>;
