import type { SetName } from "./folder.ts";

export interface FileSize {
  name: string;
  bytes: number;
}

/** A file of a published set and the places that have it, byte for byte the same. */
export interface PublishedFile extends FileSize {
  /** In hexadecimal. */
  sha256: string;
  urls: readonly string[];
  /** Of a .tar.gz archive: the files in it that are of use. */
  holds?: readonly FileSize[];
}

export interface PublishedSet {
  about: string;
  files: readonly PublishedFile[];
}

/** The same file name under several addresses. */
const at =
  (...places: string[]) =>
  (name: string, bytes: number, sha256: string, holds?: readonly FileSize[]): PublishedFile => ({
    name,
    bytes,
    sha256,
    urls: places.map((place) => place + name),
    ...(holds && { holds }),
  });

// Lengths and SHA-256 as TensorFlow Datasets lists them (github.com/tensorflow/datasets, url_checksums/); for the IDX
// files they were also taken of the files themselves. The authors' own places come first, where there are any; MNIST's
// are the copies that torchvision and TensorFlow Datasets use; the last place of Fashion-MNIST is Keras's copy, of
// CIFAR MindSpore's.
const mnist = at(
  "https://ossci-datasets.s3.amazonaws.com/mnist/",
  "https://storage.googleapis.com/cvdf-datasets/mnist/",
);
const fashion = at(
  "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
  "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
  "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
);
const omniglot = at(
  "https://github.com/brendenlake/omniglot/raw/master/python/",
  "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",
);
const cifar = at(
  "https://www.cs.toronto.edu/~kriz/",
  "https://cave.cs.toronto.edu/kriz/",
  "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
);

const RECORDS = 10_000;
const CIFAR10_RECORD = 3073;
const CIFAR100_RECORD = 3074;

/** What `hypergrad data fetch` knows of. */
export const published: Readonly<Record<SetName, PublishedSet>> = {
  mnist: {
    about: "handwritten digits, 60 000 + 10 000",
    files: [
      mnist(
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
      ),
      mnist(
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
      ),
      mnist(
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
      ),
      mnist(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
      ),
    ],
  },
  "fashion-mnist": {
    about: "clothes, 60 000 + 10 000",
    files: [
      fashion(
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
      ),
      fashion(
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
      ),
      fashion(
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
      ),
      fashion(
        "t10k-labels-idx1-ubyte.gz",
        5148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
      ),
    ],
  },
  omniglot: {
    about: "1623 handwritten characters, 20 of each",
    files: [
      omniglot(
        "images_background.zip",
        9_464_212,
        "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
      ),
      omniglot(
        "images_evaluation.zip",
        6_462_886,
        "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
      ),
    ],
  },
  cifar10: {
    about: "colour photographs, 10 classes, 50 000 + 10 000",
    files: [
      cifar(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"].map(
          (name) => ({ name: `${name}.bin`, bytes: RECORDS * CIFAR10_RECORD }),
        ),
      ),
    ],
  },
  cifar100: {
    about: "colour photographs, 100 classes, 50 000 + 10 000",
    files: [
      cifar(
        "cifar-100-binary.tar.gz",
        168_513_733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        [
          { name: "train.bin", bytes: 5 * RECORDS * CIFAR100_RECORD },
          { name: "test.bin", bytes: RECORDS * CIFAR100_RECORD },
        ],
      ),
    ],
  },
};
