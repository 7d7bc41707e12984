/** The version in package.json, whose place differs between the sources and the built files. */
export const VERSION = '1.0.0';
