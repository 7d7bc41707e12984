import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataSourceOptions } from 'typeorm';

/** SQLite in memory, written to a file after each transaction and before the request is answered. */
export class Database {
    readonly isNew: boolean;
    private readonly file: string;
    private isPopulated: boolean;

    constructor(folder: string) {
        this.file = join(folder, 'vendure.sqlite');
        this.isNew = !existsSync(this.file);
        this.isPopulated = !this.isNew;
    }

    get options(): DataSourceOptions {
        return {
            type: 'sqljs',
            location: this.file,
            synchronize: this.isNew,
            autoSave: true,
            autoSaveCallback: (content: Uint8Array) => this.save(content),
        };
    }

    /** Save what is there, and each change from now on: no later start finds a database that is populated in part. */
    startSaving(populated: Uint8Array): void {
        this.isPopulated = true;
        this.save(populated);
    }

    /** A process that is killed leaves the old file or the new one, never a part of it. */
    private save(content: Uint8Array): void {
        if (this.isPopulated) {
            writeFileSync(`${this.file}.new`, content);
            renameSync(`${this.file}.new`, this.file);
        }
    }
}
