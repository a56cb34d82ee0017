/** Files that hold tensors: safetensors, PyTorch's {@code .bin}, model folders and the folder of a training run. */
package org.megabyte4j.checkpoint;
