/** The command line: one class for each command, {@link org.megabyte4j.cli.Main} for what they have in common. */
package org.megabyte4j.cli;
