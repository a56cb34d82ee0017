/** Training and evaluation: optimisers, schedules, the trainer, runs with checkpoints, metrics. */
package org.megabyte4j.train;
